# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Libraries and drivers for InfiniBand, RoCE, Omni-Path and EFA"
HOMEPAGE="https://github.com/linux-rdma/rdma-core"
# Debian's file is upstream's release, repacked; the content is the same.
SRC_URI="mirror://debian/pool/main/r/rdma-core/rdma-core_${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

pkg_pretend() {
	# A tool of the building machine, like the compiler; not a package of a layer.
	type -P cmake >/dev/null || die "${CATEGORY}/${PN} needs cmake on the building machine"
}

src_prepare() {
	default

	# Clients need libraries, drivers and the programs that show an adapter.
	# What runs as a daemon, at boot, or in Python is the host's.
	sed -i -E \
		-e '/^ *add_subdirectory\((kernel-boot|infiniband-diags.*|pyverbs|tests|ibacm|iwpmd|rdma-ndd|srp_daemon)\)/d' \
		-e '/^ *add_subdirectory\((libibumad\/tests|util\/tests|Documentation)\)/d' \
		CMakeLists.txt || die
	# With all optional libraries off, nobody asks pkg-config.
	sed -i -e '/^FIND_PACKAGE(PkgConfig REQUIRED)/d' CMakeLists.txt || die
	grep -q 'add_subdirectory(libibverbs)' CMakeLists.txt || die "the list of directories has moved"
}

src_configure() {
	cl_toolchain_export

	# cmake must not look around: no netlink (neighbours are resolved by the
	# kernel), no udev, systemd, valgrind, or graphics headers of the host.
	local system=()
	cl_is_cross && system=( -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="${CHOST%%-*}" )
	cl_run cmake -S . -B build -G "Unix Makefiles" \
		"${system[@]}" \
		-DCMAKE_C_COMPILER="${CC%% *}" \
		-DCMAKE_C_FLAGS="${CPPFLAGS} ${CFLAGS}" \
		-DCMAKE_EXE_LINKER_FLAGS="${LDFLAGS}" \
		-DCMAKE_SHARED_LINKER_FLAGS="${LDFLAGS}" \
		-DCMAKE_MODULE_LINKER_FLAGS="${LDFLAGS}" \
		-DCMAKE_BUILD_TYPE=None \
		-DCMAKE_SKIP_RPATH=ON \
		-DCMAKE_INSTALL_PREFIX="${EPREFIX}/usr" \
		-DCMAKE_INSTALL_LIBDIR="$(get_libdir)" \
		-DCMAKE_INSTALL_SYSCONFDIR="${EPREFIX}/etc" \
		-DCMAKE_INSTALL_RUNDIR=/run \
		-DCMAKE_INSTALL_SHAREDSTATEDIR=/var/lib \
		-DCMAKE_DISABLE_FIND_PACKAGE_UDev=ON \
		-DCMAKE_DISABLE_FIND_PACKAGE_Systemd=ON \
		-DDRM_INCLUDE_DIRS="${T}/none" \
		-DENABLE_RESOLVE_NEIGH=0 \
		-DENABLE_VALGRIND=0 \
		-DNO_MAN_PAGES=1 \
		-DNO_PYVERBS=1
}

src_compile() {
	emake -C build
}

src_test() {
	# Upstream's tests need an adapter. Without one, the libraries load, list
	# none, and name things; every driver's symbols are resolved.
	local -x LD_LIBRARY_PATH=${S}/build/lib driver
	cat > "${T}/verbs.c" <<-'EOF' || die
		#include <string.h>
		#include <infiniband/verbs.h>
		#include <rdma/rdma_cma.h>
		int main(void) {
			int number = -1;
			struct ibv_device **list = ibv_get_device_list(&number);
			if (list) ibv_free_device_list(list);
			if (number < 0 && list) return 1;
			if (strcmp(ibv_wc_status_str(IBV_WC_RETRY_EXC_ERR), "transport retry counter exceeded")) return 2;
			if (strcmp(rdma_event_str(RDMA_CM_EVENT_ESTABLISHED), "RDMA_CM_EVENT_ESTABLISHED")) return 3;
			return 0;
		}
	EOF
	cl_objects "${T}" -Ibuild/include "${T}/verbs.c"
	cl_program "${T}/verbs" "${T}/verbs.o" -Lbuild/lib -lrdmacm -libverbs
	cl_run "${T}/verbs"
	for driver in build/lib/lib*-rdmav*.so; do
		[[ -e ${driver} ]] || die "no drivers were built"
		LD_BIND_NOW=1 LD_PRELOAD=${S}/${driver} "${T}/verbs" 2>"${T}/said" || die "${driver} does not load"
		[[ -s ${T}/said ]] && grep -q 'symbol' "${T}/said" && die "$(<"${T}/said")"
	done
	return 0
}

src_install() {
	emake -C build install DESTDIR="${D}"

	# Rules and services for a host's boot.
	rm -rf \
		"${ED}"/etc/{init.d,modprobe.d,rdma,udev,infiniband-diags} \
		"${ED}"/usr/lib/{udev,systemd,modules-load.d,dracut} \
		"${ED}"/usr/libexec || die
	[[ -d ${ED}/etc/libibverbs.d ]] || die "no drivers are registered"
	dodoc README.md MAINTAINERS
}
