# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Control of processes and memory on NUMA machines, and its library"
HOMEPAGE="https://github.com/numactl/numactl"
SRC_URI="
	https://github.com/numactl/numactl/archive/refs/tags/v${PV}.tar.gz -> ${P}.tar.gz
	mirror://debian/pool/main/n/numactl/numactl_${PV}.orig.tar.gz -> ${P}.tar.gz
"

# The programs are GPL-2, the library is LGPL-2.1.
LICENSE="GPL-2 LGPL-2.1"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export

	# The archive has no configure script. Its configure.ac asks two questions,
	# and every gcc and clang that can build the rest of a layer has thread-local
	# storage; the other is answered here.
	echo "#define TLS __thread" > config.h || die
	echo '__attribute__((symver("foo@foo_1"))) void frob(void) {}' > "${T}/symver.c" || die
	if ${CC} ${CFLAGS} -Werror -fPIC -c "${T}/symver.c" -o "${T}/symver.o" 2>/dev/null; then
		echo "#define HAVE_ATTRIBUTE_SYMVER 1" >> config.h || die
	fi
}

src_compile() {
	# libnuma_la_SOURCES and libnuma_la_LDFLAGS of Makefile.am: version 1:0:0.
	local libraries=()
	[[ ${CHOST} == riscv64* ]] && libraries+=( -latomic )
	cl_objects library -fPIC -I. -Wall libnuma.c syscall.c distance.c affinity.c sysfs.c rtnetlink.c
	cl_shared_library libnuma.so.1.0.0 libnuma.so.1 library/*.o \
		-Wl,--version-script,versions.ldscript \
		-Wl,-init,numa_init -Wl,-fini,numa_fini \
		"${libraries[@]}"
	ln -s libnuma.so.1.0.0 libnuma.so || die

	cl_objects programs -I. -Wall numactl.c util.c shm.c migratepages.c migspeed.c memhog.c
	cl_objects programs -I. -Wall -std=gnu99 numastat.c
	cl_objects demo -I. -Wall -O3 -ffast-math -funroll-loops -ftree-vectorize \
		-DHAVE_STREAM_LIB -DHAVE_MT -DHAVE_CLEAR_CACHE \
		numademo.c stream_lib.c mt.c clearcache.c util.c
	cl_program numactl programs/{numactl,util,shm}.o -L. -lnuma
	cl_program numastat programs/numastat.o
	cl_program numademo demo/*.o -L. -lnuma -lm
	local program
	for program in migratepages migspeed memhog; do
		cl_program ${program} programs/{${program},util}.o -L. -lnuma -lrt
	done
}

src_test() {
	# Of upstream's tests, the one that needs neither several nodes nor system
	# calls that containers forbid; then a program that only needs memory.
	local -x LD_LIBRARY_PATH=${PWD}
	cl_objects tests -I. test/tbitmap.c
	cl_program tbitmap tests/tbitmap.o programs/util.o -L. -lnuma
	cl_run ./tbitmap
	cl_run ./memhog 1m
}

src_install() {
	dobin numactl numastat numademo migratepages migspeed memhog
	cl_install_library libnuma.so.1.0.0 libnuma.so.1 libnuma.so
	cl_pkgconfig numa ${PV} "NUMA policy library" "-lnuma"
	doheader numa.h numacompat1.h numaif.h

	# move_pages(2) belongs to the kernel's manual pages.
	doman numa.3 *.8
	dodoc README.md
}
