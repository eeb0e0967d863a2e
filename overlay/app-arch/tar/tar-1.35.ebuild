# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Packs and unpacks archives"
HOMEPAGE="https://www.gnu.org/software/tar/"
# Debian's archive leaves out the manual, whose licence it does not carry;
# what is compiled is upstream's.
SRC_URI="mirror://debian/pool/main/t/tar/tar_${PV}+dfsg.orig.tar.xz -> ${P}-debian.tar.xz"
S="${WORKDIR}/${P}+dfsg"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# Its shell.
RDEPEND+=" !prefix-guest? ( app-shells/bash )"

src_prepare() {
	default

	# Compressors and --to-command are started by the layer's shell.
	if ! use prefix-guest; then
		sed -i -e "s|\"/bin/sh\"|\"${EPREFIX}/bin/sh\"|" src/system.c || die
		grep -qF "\"${EPREFIX}/bin/sh\"" src/system.c || die "the shell has moved"
	fi
}

src_configure() {
	cl_toolchain_export

	# No library but libc, as with coreutils; configure does not like root.
	local -x FORCE_UNSAFE_CONFIGURE=1 gl_cv_posix_shell=/bin/sh ac_cv_path_RSH=no
	econf --disable-acl --disable-nls --disable-rpath --without-posix-acls --without-selinux --without-xattrs
}

src_test() {
	# Upstream's take minutes.
	local tar=${S}/src/tar
	mkdir -p "${T}"/{packed/below,unpacked} || die
	echo content > "${T}/packed/below/file" || die
	ln -s below/file "${T}/packed/link" || die
	cl_run "${tar}" -C "${T}" -czf "${T}/packed.tar.gz" packed
	cl_run "${tar}" -C "${T}/unpacked" -xf "${T}/packed.tar.gz" --strip-components=1
	[[ $(< "${T}/unpacked/link") == content ]] || die "what was unpacked is not what was packed"
	"${tar}" -tf "${T}/packed.tar.gz" no-such-file 2>/dev/null && die "finds what is not there"
	return 0
}

src_install() {
	default
	# It would be asked by another machine's tar.
	rm -rf "${ED}"/usr/libexec "${ED}"/usr/sbin "${ED}"/usr/share/man/man8 || die
}
