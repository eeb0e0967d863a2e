# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

DESCRIPTION="The kernel's interface, as the C library and programs are compiled against it"
HOMEPAGE="https://www.kernel.org/"
# Debian leaves files out of upstream's archive, so the two differ.
SRC_URI="mirror://debian/pool/main/l/linux/linux_${PV}.orig.tar.xz -> ${P}.tar.xz"
S="${WORKDIR}/linux-${PV}"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
# Nothing is linked or run; what there is to test is whether the C library
# compiles against it.
RESTRICT="strip test"

cl_kernel_arch() {
	case ${ARCH} in
		amd64) echo x86 ;;
		arm64) echo arm64 ;;
		ppc64) echo powerpc ;;
		riscv) echo riscv ;;
		*) die "no kernel architecture for ${ARCH}" ;;
	esac
}

src_unpack() {
	# A tenth of the archive is needed, and unpacking all of it takes longer
	# than everything else.
	local top=${S##*/}
	tar -C "${WORKDIR}" -xf "${DISTDIR}/${P}.tar.xz" \
		"${top}"/{Makefile,Kbuild,scripts,include,usr,tools/include} "${top}/arch/$(cl_kernel_arch)" || die
}

src_compile() {
	# The makefile builds a small program for the machine that builds.
	emake ARCH="$(cl_kernel_arch)" HOSTCC="${CL_HOST_CC:-gcc}" headers
}

src_install() {
	# Beside the headers lie the makefile and notes of how each was made.
	find usr/include ! -type d ! -name '*.h' -delete || die
	insinto /usr
	doins -r usr/include
}
