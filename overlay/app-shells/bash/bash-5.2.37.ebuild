# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="The Bourne-again shell"
HOMEPAGE="https://tiswww.case.edu/php/chet/bash/bashtop.html"
# Release 5.2 with upstream's 37 patches applied, packed by Debian; upstream
# packs the same content differently.
SRC_URI="mirror://debian/pool/main/b/bash/bash_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND="
	>=sys-libs/readline-8.2
	sys-libs/ncurses
"
DEPEND="${RDEPEND}"

src_prepare() {
	default

	# Without PATH, and for "command -p": the layer's programs, then the
	# machine's. No current directory.
	local path="${EPREFIX}/usr/bin:${EPREFIX}/usr/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
	sed -i \
		-e "s|\"/usr/local/bin:[^\"]*:\.\"|\"${path}\"|" \
		-e "s|\"/bin:/usr/bin:/sbin:/usr/sbin:[^\"]*\"|\"${path}\"|" \
		-e "s|\"/usr/local/lib/bash:[^\"]*\"|\"${EPREFIX}/usr/$(get_libdir)/bash\"|" \
		-e "s|/\* #define SYS_BASHRC .*|#define SYS_BASHRC \"${EPREFIX}/etc/bash/bashrc\"|" \
		-e "s|/\* #define SYS_BASH_LOGOUT .*|#define SYS_BASH_LOGOUT \"${EPREFIX}/etc/bash/bash_logout\"|" \
		config-top.h || die
	sed -i -e "s|\"/etc/profile\"|\"${EPREFIX}/etc/profile\"|" pathnames.h.in || die
	if grep -E '^[^/]*"(/usr/local|/opt|/etc/profile)' config-top.h pathnames.h.in; then
		die "a default path has moved"
	fi
}

src_configure() {
	cl_toolchain_export

	# Answers that depend on the building machine, not on the target.
	local -x bash_cv_termcap_lib=libtinfo bash_cv_mail_dir=/var/mail
	local -x bash_cv_dev_fd=standard bash_cv_dev_stdin=present
	local -x bash_cv_sys_named_pipes=present bash_cv_job_control_missing=present
	local -x bash_cv_getcwd_malloc=yes
	econf \
		--with-curses \
		--with-installed-readline \
		--without-bash-malloc \
		--disable-nls \
		--disable-rpath \
		--disable-profiling
}

src_compile() {
	# The program only: loadable builtins, headers and bashbug would carry this
	# build's directories and flags.
	emake bash
}

src_test() {
	# Those of upstream's tests that need neither a terminal nor root, print
	# nothing when all is well, and take a moment. Not in this environment:
	# variables of ours (A, T and more) are used by them. varenv is left out: it
	# shows signals that Portage ignores.
	local environment=(
		PATH="${S}:${S}/tests:${PATH}" HOME="${T}" TMPDIR="${T}" LC_ALL=C.UTF-8
		THIS_SH="${S}/bash" BUILD_DIR="${S}" BASH_TSTOUT="${T}/output"
	)
	local name output
	emake recho zecho printenv
	cd tests || die
	for name in appendop arith-for array assoc braces case casemod comsub cond \
		dollars extglob func heredoc herestr ifs invert more-exp nquote \
		parser posixpat quote rhs-exp set-e shopt strip tilde2 type; do
		[[ -e run-${name} ]] || die "upstream's test ${name} has gone"
		output=$(env -i "${environment[@]}" sh "./run-${name}" 2>&1 | grep -v '^warning: ') && {
			echo "${output}"
			die "upstream's test ${name} fails"
		}
		echo "${name} passes"
	done
	cd .. || die

	# What was changed here.
	output=$(env -i ./bash --noprofile --norc -c 'echo "${PATH}"') || die
	[[ ${output} == "${EPREFIX}/usr/bin:"* && ${output} != *:. ]] || die "default PATH is ${output}"
	grep -qF "${EPREFIX}/etc/profile" bash || die "login shells read another etc/profile"
}

src_install() {
	dobin bash
	dosym bash /usr/bin/sh
	dosym bash /usr/bin/rbash
	newman doc/bash.1 bash.1
	dosym bash.1 /usr/share/man/man1/rbash.1

	sed -e "s|@EPREFIX@|${EPREFIX}|g" "${FILESDIR}/bashrc" > "${T}/bashrc" || die
	insinto /etc/bash
	doins "${T}/bashrc"
	dodoc README NEWS CHANGES
}
