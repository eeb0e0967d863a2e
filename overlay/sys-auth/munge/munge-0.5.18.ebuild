# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

MY_P="${PN}-${P}"
DESCRIPTION="Credentials that prove a user's identity in a cluster: the client side"
HOMEPAGE="https://dun.github.io/munge/"
SRC_URI="
	https://github.com/dun/munge/archive/refs/tags/${P}.tar.gz
	mirror://debian/pool/main/m/munge/munge_${PV}.orig.tar.gz -> ${P}.tar.gz
"
S="${WORKDIR}/${MY_P}"

# The library is LGPL, the programs are GPL.
LICENSE="GPL-3+ LGPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# Sources that upstream links into the library (libcommon) and the programs.
LIBRARY_SOURCES=(
	src/libmunge/{auth_send,ctx,decode,encode,enum,m_msg_client,strerror}.c
	src/libcommon/{daemonpipe,fd,license,log,m_msg,str,version}.c
)
CLIENT_SOURCES=( src/common/{query,test,xgetgr,xgetpw,xsignal}.c src/munge/read.c )

src_configure() {
	cl_toolchain_export

	# The archive has no configure script. These are its answers for Linux
	# with glibc, as far as the client asks; ciphers are known by name only,
	# the daemon does the work.
	cat > config.h <<-EOF || die
		#define _GNU_SOURCE 1
		#define PACKAGE "${PN}"
		#define VERSION "${PV}"
		#define AUTH_METHOD_SO_PEERCRED 1
		#define HAVE_LIBGCRYPT 1
		#define HAVE_PKG_BZLIB 1
		#define HAVE_PKG_ZLIB 1
		#define HAVE_CLOCK_GETTIME 1
		#define HAVE_LOCALTIME_R 1
		#define HAVE_SYSCONF 1
		#define HAVE_STRSIGNAL 1
		#define HAVE_GETGRENT_R_GNU 1
		#define HAVE_GETGRNAM_R_POSIX 1
		#define HAVE_GETPWNAM_R_POSIX 1
		#define HAVE_DECL_RLIMIT_MEMLOCK 1
	EOF
}

src_compile() {
	# The socket is the host's daemon's: the one path outside the prefix. The
	# date is that of the release.
	local flags=(
		-DHAVE_CONFIG_H -I. -Isrc/libmunge -Isrc/libcommon -Isrc/common
		-DRUNSTATEDIR='"/run"' -DLOCALSTATEDIR='"/var"' -DSYSCONFDIR='"/etc"' -DDATE='"2026-02-10"'
	)
	cl_objects library -fPIC "${flags[@]}" "${LIBRARY_SOURCES[@]}"
	# Upstream exports munge_* and nothing else. Version 2:1:0 of the interface.
	echo '{ global: munge_*; local: *; };' > libmunge.map || die
	cl_shared_library libmunge.so.2.0.1 libmunge.so.2 library/*.o \
		-Wl,--version-script,libmunge.map -Wl,-z,defs
	ln -s libmunge.so.2.0.1 libmunge.so || die

	cl_objects common "${flags[@]}" "${CLIENT_SOURCES[@]}"
	local name
	for name in munge unmunge remunge; do
		cl_objects programs -DWITH_PTHREADS "${flags[@]}" "src/munge/${name}.c"
		cl_program "${name}" "programs/${name}.o" common/*.o \
			library/{daemonpipe,fd,license,log,m_msg,str,version}.o -L. -lmunge -lpthread
	done
}

src_test() {
	# Upstream's tests need its daemon and a key. These need neither: the
	# library's tables and options, and the refusal when no daemon answers.
	local -x LD_LIBRARY_PATH=${PWD}
	cat > "${T}/client.c" <<-'EOF' || die
		#include <string.h>
		#include <munge.h>
		int main(int argc, char **argv) {
			char *credential = NULL, *socket = NULL;
			munge_ctx_t context = munge_ctx_create();
			if (argc != 2 || !context) return 1;
			if (munge_enum_str_to_int(MUNGE_ENUM_CIPHER, "aes256") != MUNGE_CIPHER_AES256) return 2;
			if (munge_ctx_set(context, MUNGE_OPT_SOCKET, argv[1]) != EMUNGE_SUCCESS) return 3;
			if (munge_ctx_get(context, MUNGE_OPT_SOCKET, &socket) != EMUNGE_SUCCESS) return 4;
			if (strcmp(socket, argv[1])) return 5;
			if (munge_encode(&credential, context, "x", 1) != EMUNGE_SOCKET) return 6;
			if (strcmp(munge_strerror(EMUNGE_CRED_EXPIRED), "Expired credential")) return 7;
			munge_ctx_destroy(context);
			return 0;
		}
	EOF
	cl_objects "${T}" -Isrc/libmunge "${T}/client.c"
	cl_program "${T}/client" "${T}/client.o" -L. -lmunge
	cl_run "${T}/client" "${T}/no-such-socket"

	[[ $(./munge --version) == "munge-${PV} "* ]] || die "version is $(./munge --version)"
	./munge --no-input --socket="${T}/no-such-socket" 2>"${T}/said" && die "a credential came from nowhere"
	grep -q "no-such-socket" "${T}/said" || die "the refusal does not name the socket: $(<"${T}/said")"
	[[ $(echo MUNGE:bad: | ./unmunge --socket="${T}/no-such-socket" 2>&1) ]] || die "unmunge says nothing"
}

src_install() {
	cl_install_library libmunge.so.2.0.1 libmunge.so.2 libmunge.so
	cl_pkgconfig munge ${PV} "MUNGE authentication service library" "-lmunge"
	doheader src/libmunge/munge.h
	dobin munge unmunge remunge

	local page
	for page in src/munge/{munge,unmunge,remunge}.1 src/libmunge/{munge,munge_ctx,munge_enum}.3; do
		sed -e "s|@PACKAGE@|${PN}|g; s|@VERSION@|${PV}|g; s|@DATE@|2026-02-10|g" \
			-e "s|@runstatedir@|/run|g; s|@localstatedir@|/var|g; s|@sysconfdir@|/etc|g; s|@sbindir@|/usr/sbin|g" \
			"${page}.in" > "${page}" || die
		grep -q '@[a-z]*@' "${page}" && die "a placeholder is left in ${page}"
		doman "${page}"
	done
	dodoc README AUTHORS
}
