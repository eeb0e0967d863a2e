# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

DESCRIPTION="libgcc_s and libstdc++ of the compiler that builds a standalone layer"
HOMEPAGE="https://gcc.gnu.org/"
S="${WORKDIR}"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
# The host's distribution has stripped them, and their build identifiers stay.
RESTRICT="strip !test? ( test )"

DEPEND="sys-libs/glibc"
RDEPEND="${DEPEND}"

# Sonames, not files: the same for every compiler that can build the layer.
CL_LIBRARIES=( libgcc_s.so.1 libstdc++.so.6 libgomp.so.1 libatomic.so.1 )

src_compile() {
	local name file
	for name in "${CL_LIBRARIES[@]}"; do
		file=$("${CL_HOST_CC:-gcc}" -print-file-name="${name}")
		# The compiler answers with the bare name when it has no such file.
		[[ ${file} == /* ]] || die "the compiler has no ${name}"
		cp -L "${file}" "${name}" || die
	done
}

src_test() {
	# What the copies were linked against must be in the layer's C library.
	local wanted
	wanted=$(LC_ALL=C readelf -V "${CL_LIBRARIES[@]}" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
	LC_ALL=C grep -qaF "${wanted}" "${ESYSROOT}/usr/$(get_libdir)/libc.so.6" ||
		die "the compiler's libraries want ${wanted}, and the layer's C library is older"
}

src_install() {
	dolib.so "${CL_LIBRARIES[@]}"
}
