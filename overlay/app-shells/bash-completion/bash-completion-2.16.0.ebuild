# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

DESCRIPTION="Programmable completion for bash"
HOMEPAGE="https://github.com/scop/bash-completion"
# Upstream's tag, as Debian keeps it.
SRC_URI="mirror://debian/pool/main/b/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="GPL-2+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND=">=app-shells/bash-4.2"

src_configure() {
	# The archive has no configure script; nothing is compiled, four files have
	# directories to fill in, and one default looks at the host's etc.
	local file
	for file in bash_completion.sh bash-completion.pc bash-completion-config{,-version}.cmake; do
		sed -e "s|@prefix@|${EPREFIX}/usr|; s|@datadir@|${EPREFIX}/usr/share|; s|@sysconfdir@|${EPREFIX}/etc|" \
			-e "s|@PACKAGE@|${PN}|; s|@VERSION@|${PV}|" "${file}.in" > "${file}" || die
	done
	# A line replaces one placeholder each; some have two.
	sed -i -e "s|@datadir@|${EPREFIX}/usr/share|; s|@PACKAGE@|${PN}|" bash_completion.sh bash-completion.pc || die
	grep -q '@[a-zA-Z]*@' bash_completion.sh bash-completion.pc && die "a placeholder is left"
	sed -i -e "s|(/etc/bash_completion\.d)|(${EPREFIX}/etc/bash_completion.d)|" bash_completion || die
	grep -q "(${EPREFIX}/etc/bash_completion.d)" bash_completion || die "the compatibility directory has moved"
}

src_compile() {
	# The second names of completions (scp for ssh and so on) are links, listed
	# in one rule of the makefile template; what it adds for BSD is left out.
	mkdir links || die
	sed -n -e '/^if /,/^endif/d; /^symlinks:/,/^\.PHONY/p' completions/Makefile.am > links.mk || die
	emake -s -f links.mk symlinks ss="sh setup-symlinks.sh links"
	[[ -L links/scp ]] || die "the rule for links has moved"
}

src_test() {
	# Upstream's need python and a terminal. All files must be bash, and a
	# person's "cd sub<tab>" must find directories.
	local file
	for file in bash_completion completions/*; do
		[[ ${file} == */Makefile* ]] && continue
		bash -O extglob -n "${file}" || die "${file} is not bash"
	done
	mkdir -p "${T}/place/subdirectory" || die
	touch "${T}/place/subfile" || die
	cat > "${T}/complete" <<-'EOF' || die
		shopt -s extglob progcomp
		. "${1}/bash_completion"
		cd "${2}/place"
		_comp_load cd
		COMP_WORDS=(cd sub) COMP_CWORD=1 COMP_LINE="cd sub" COMP_POINT=6
		_comp_cmd_cd cd sub cd
		printf '%s\n' "${COMPREPLY[@]}"
	EOF
	# Outside a real completion, compopt complains.
	[[ $(BASH_COMPLETION_USER_DIR=${T} bash --norc "${T}/complete" "${S}" "${T}" 2>/dev/null) == subdirectory* ]] ||
		die "cd is not completed"
}

src_install() {
	insinto /usr/share/${PN}
	doins bash_completion
	doins -r helpers
	rm "${ED}/usr/share/${PN}/helpers"/Makefile* || die
	insinto /usr/share/${PN}/completions
	rm completions/Makefile* || die
	doins completions/*
	# Not dosym: one process for each of several hundred links takes a minute.
	cp -a links/. "${ED}/usr/share/${PN}/completions/" || die
	insinto /etc/profile.d
	doins bash_completion.sh
	insinto /etc/bash_completion.d
	doins bash_completion.d/000_bash_completion_compat.bash
	insinto /usr/share/pkgconfig
	doins bash-completion.pc
	insinto /usr/share/cmake/${PN}
	doins bash-completion-config{,-version}.cmake
	dodoc README.md CHANGELOG.md
}
