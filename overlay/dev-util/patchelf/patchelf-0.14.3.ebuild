# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Changes the loader, library path and needed libraries of ELF files"
HOMEPAGE="https://github.com/NixOS/patchelf"
SRC_URI="
	https://github.com/NixOS/patchelf/archive/refs/tags/${PV}.tar.gz -> ${P}.tar.gz
	mirror://debian/pool/main/p/patchelf/patchelf_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export
}

src_compile() {
	# The archive has no configure script, and autotools for one source file
	# would be the larger package. These are the flags of src/Makefile.am.
	cl_objects build -std=c++17 -D_FILE_OFFSET_BITS=64 \
		-DPACKAGE_STRING="\"${PN} ${PV}\"" src/patchelf.cc
	CC="${CXX}" CFLAGS="${CXXFLAGS}" cl_program ${PN} build/patchelf.o
}

src_test() {
	# Upstream's tests are wired to automake. This does to a copy of a real
	# program what the tool is for, and runs it afterwards.
	local loader
	cp ${PN} "${T}/copy" || die
	cl_run ./${PN} --set-rpath '$ORIGIN/../a-rather-long-directory-to-make-it-grow/lib64' "${T}/copy"
	[[ $(./${PN} --print-rpath "${T}/copy") == *a-rather-long-directory* ]] || die "rpath not set"
	cl_run "${T}/copy" --version

	loader=$(./${PN} --print-interpreter ${PN}) || die
	ln -s "${loader}" "${T}/loader-with-another-name.so" || die
	cl_run ./${PN} --set-interpreter "${T}/loader-with-another-name.so" "${T}/copy"
	[[ $("${T}/copy" --version) == "${PN} ${PV}" ]] || die "does not run with another loader"

	cl_run ./${PN} --add-needed libm.so.6 "${T}/copy"
	[[ $(./${PN} --print-needed "${T}/copy") == *libm.so.6* ]] || die "library not added"
	cl_run "${T}/copy" --version
}

src_install() {
	dobin ${PN}
	doman ${PN}.1
	dodoc README.md
}
