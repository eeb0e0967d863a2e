# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="High-quality block-sorting file compressor and its library"
HOMEPAGE="https://sourceware.org/bzip2/"
SRC_URI="
	https://sourceware.org/pub/bzip2/${P}.tar.gz
	mirror://debian/pool/main/b/bzip2/bzip2_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="bzip2"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# Upstream's two makefiles build a static library and, separately, a shared
# one; neither passes LDFLAGS when linking the shared one. Eight files need
# no makefile.
LIBRARY_SOURCES=( blocksort.c huffman.c crctable.c randtable.c compress.c decompress.c bzlib.c )

src_configure() {
	cl_toolchain_export
}

src_compile() {
	# As upstream's BIGFILES: files over 2 GiB on every target.
	local large=-D_FILE_OFFSET_BITS=64

	cl_objects pic -fPIC ${large} "${LIBRARY_SOURCES[@]}"
	cl_shared_library libbz2.so.${PV} libbz2.so.1.0 pic/*.o
	ln -s libbz2.so.${PV} libbz2.so || die

	cl_objects program ${large} bzip2.c bzip2recover.c
	cl_program bzip2 program/bzip2.o -L. -lbz2
	cl_program bzip2recover program/bzip2recover.o
}

src_test() {
	# Upstream's test compares with known results. -o keeps make from building
	# its own static bzip2 in place of the one that will be installed.
	local -x LD_LIBRARY_PATH=${PWD}
	emake -o bzip2 test
}

src_install() {
	dobin bzip2 bzip2recover bzdiff bzgrep bzmore
	dosym bzip2 /usr/bin/bunzip2
	dosym bzip2 /usr/bin/bzcat
	dosym bzdiff /usr/bin/bzcmp
	dosym bzgrep /usr/bin/bzegrep
	dosym bzgrep /usr/bin/bzfgrep
	dosym bzmore /usr/bin/bzless

	# Upstream's soname is libbz2.so.1.0; some distributions build programs
	# that ask for libbz2.so.1. It is the same interface.
	cl_install_library libbz2.so.${PV} libbz2.so.1.0 libbz2.so.1 libbz2.so
	cl_pkgconfig bzip2 ${PV} "${DESCRIPTION}" "-lbz2"
	doheader bzlib.h

	doman bzip2.1 bzdiff.1 bzgrep.1 bzmore.1
	dodoc CHANGES README
	cl_shebangs
}
