# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Editing of command lines, with history"
HOMEPAGE="https://tiswww.case.edu/php/chet/readline/rltop.html"
# Debian's file is byte for byte GNU's.
SRC_URI="
	https://ftp.gnu.org/gnu/readline/${P}.tar.gz
	mirror://debian/pool/main/r/readline/readline_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND="sys-libs/ncurses"
DEPEND="${RDEPEND}"

src_prepare() {
	default
	sed -i -e "s|\"/etc/inputrc\"|\"${EPREFIX}/etc/inputrc\"|" rlconf.h || die
	grep -q "\"${EPREFIX}/etc/inputrc\"" rlconf.h || die "SYS_INPUTRC has moved"
}

src_configure() {
	cl_toolchain_export

	# The terminal library is named, not searched, and recorded in the library:
	# whoever links readline need not know about it.
	local -x bash_cv_termcap_lib=libtinfo
	econf --with-curses --with-shared-termcap-library --disable-install-examples
}

src_test() {
	# Upstream has none. A line is read, expanded from history and written back.
	local -x LD_LIBRARY_PATH=${S}/shlib TERM=dumb INPUTRC=/dev/null
	mkdir "${T}/readline" || die
	cp *.h "${T}/readline/" || die
	cat > "${T}/line.c" <<-'EOF' || die
		#include <stdio.h>
		#include <stdlib.h>
		#include <readline/readline.h>
		#include <readline/history.h>
		int main(void) {
			char *line, *expanded;
			using_history();
			while ((line = readline("")) != NULL) {
				if (history_expand(line, &expanded) < 0) return 1;
				add_history(expanded);
				fprintf(stderr, "%s\n", expanded);
			}
			return 0;
		}
	EOF
	cl_objects "${T}" "-I${T}" "${T}/line.c"
	cl_program "${T}/line" "${T}/line.o" -Lshlib -lreadline
	printf 'first word\nsecond !!:$\n' | "${T}/line" 2>"${T}/lines" >/dev/null || die
	[[ $(<"${T}/lines") == $'first word\nsecond word' ]] || die "history expands wrongly: $(<"${T}/lines")"
}

src_install() {
	default
	# Ctrl with the arrow keys, Home, End and Delete do what people expect.
	insinto /etc
	newins - inputrc <<-'EOF'
		# For every program of the layer that reads lines; ~/.inputrc wins.
		set meta-flag on
		set input-meta on
		set output-meta on
		set convert-meta off
		set bell-style none
		"\e[1~": beginning-of-line
		"\e[4~": end-of-line
		"\e[3~": delete-char
		"\e[1;5C": forward-word
		"\e[1;5D": backward-word
	EOF
}
