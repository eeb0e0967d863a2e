# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

MY_P="${PN}-$(ver_cut 1-2)-$(ver_cut 4)"
DESCRIPTION="Terminal handling library, and descriptions of terminals"
HOMEPAGE="https://invisible-island.net/ncurses/"
# A weekly patch release: 6.5 itself lacks a year of repairs. Debian's file
# carries upstream's signature: it is upstream's file.
SRC_URI="
	https://invisible-island.net/archives/ncurses/current/${MY_P}.tgz
	mirror://debian/pool/main/n/ncurses/ncurses_$(ver_cut 1-2)+$(ver_cut 4).orig.tar.gz -> ${MY_P}.tgz
"
S="${WORKDIR}/${MY_P}"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

# The terminals people come with. All 2800 descriptions would be the most
# numerous files of a layer, and most of these terminals are in museums.
TERMINALS=(
	alacritty{,-direct} ansi contour cygwin dumb Eterm{,-256color} foot{,-direct} ghostty gnome{,-256color}
	iterm2 kitty konsole{,-256color} linux{,-16color} mintty ms-terminal mlterm{,-256color} nsterm{,-256color}
	pcansi putty{,-256color} rxvt{,-256color,-color} screen{,-256color}
	screen.xterm-256color st{,-256color} terminator tmux{,-256color,-direct} vt{52,100,102,220} vte{,-256color}
	wezterm xterm{,-16color,-256color,-88color,-color,-direct,-mono,-new,-r6,-vt220,-xfree86}
)

src_configure() {
	cl_toolchain_export

	# One build: wide characters, and libtinfo apart under the name that
	# binaries from elsewhere ask for, with the symbol versions they look for.
	# No mouse daemon, no terminal database of the host.
	econf \
		--with-shared \
		--without-normal \
		--without-debug \
		--without-ada \
		--without-cxx \
		--without-cxx-binding \
		--without-gpm \
		--without-tests \
		--without-manpage-format \
		--without-manpage-renames \
		--with-manpage-format=normal \
		--with-manpage-aliases \
		--with-manpage-symlinks \
		--enable-widec \
		--with-termlib=tinfo \
		--enable-overwrite \
		--enable-pc-files \
		--with-pkg-config-libdir="${EPREFIX}/usr/$(get_libdir)/pkgconfig" \
		--with-terminfo-dirs="${EPREFIX}/etc/terminfo:${EPREFIX}/usr/share/terminfo" \
		--with-default-terminfo-dir="${EPREFIX}/usr/share/terminfo" \
		--disable-termcap \
		--disable-stripping \
		--disable-rpath-hack \
		--enable-symlinks \
		--enable-const \
		--enable-ext-colors \
		--enable-ext-mouse \
		--with-versioned-syms
}

src_test() {
	# Upstream's tests want a person at a terminal. This asks the new library
	# for what a terminal can do, with a description the new tic compiles.
	local -x LD_LIBRARY_PATH=${S}/lib TERMINFO=${T}/terminfo
	local output
	cl_run progs/tic -x -o "${TERMINFO}" -e xterm-256color,dumb misc/terminfo.src
	[[ $(progs/tput -T xterm-256color colors) == 256 ]] || die "tput does not know the colours"
	output=$(progs/infocmp -1 xterm-256color) || die
	[[ ${output} == *"cup="* ]] || die "infocmp shows no cursor addressing"

	cat > "${T}/screen.c" <<-'EOF' || die
		#define _XOPEN_SOURCE_EXTENDED 1
		#include <locale.h>
		#include <curses.h>
		int main(void) {
			setlocale(LC_ALL, "C.UTF-8");
			SCREEN *screen = newterm("xterm-256color", stdout, stdin);
			if (!screen) return 1;
			mvaddwstr(1, 1, L"gr\u00fc\u00df");
			cchar_t cell;
			wchar_t text[CCHARW_MAX] = {0};
			attr_t attributes;
			short pair;
			mvin_wch(1, 3, &cell);
			getcchar(&cell, text, &attributes, &pair, 0);
			refresh();
			endwin();
			return text[0] == 0xfc ? 0 : 2;
		}
	EOF
	cl_objects "${T}" -Iinclude "${T}/screen.c"
	cl_program "${T}/screen" "${T}/screen.o" -Llib -lncursesw -ltinfo
	"${T}/screen" > "${T}/screen.out" </dev/null || die "a program with a screen fails"
}

src_install() {
	# Install.data would compile all descriptions.
	emake -j1 install.libs install.progs install.includes install.man DESTDIR="${D}"

	local tic=${S}/progs/tic terminals
	local -x LD_LIBRARY_PATH=${S}/lib
	if cl_is_cross; then
		tic=$(type -P tic) || die "building for ${CHOST} needs tic on the building machine"
	fi
	printf -v terminals '%s,' "${TERMINALS[@]}"
	mkdir -p "${ED}/usr/share/terminfo" || die
	cl_run "${tic}" -x -o "${ED}/usr/share/terminfo" -e "${terminals%,}" misc/terminfo.src
	unset LD_LIBRARY_PATH
	local terminal
	for terminal in "${TERMINALS[@]}"; do
		[[ -e ${ED}/usr/share/terminfo/${terminal:0:1}/${terminal} ]] || die "no description of ${terminal}"
	done

	# The names these two give themselves.
	dosym ../k/kitty /usr/share/terminfo/x/xterm-kitty
	dosym ../g/ghostty /usr/share/terminfo/x/xterm-ghostty

	# What is not written for wide characters links the same library.
	local name
	for name in ncurses form menu panel; do
		dosym "lib${name}w.so" "/usr/$(get_libdir)/lib${name}.so"
		dosym "${name}w.pc" "/usr/$(get_libdir)/pkgconfig/${name}.pc"
	done
	dosym libncursesw.so "/usr/$(get_libdir)/libcurses.so"
	dosym libtinfo.so "/usr/$(get_libdir)/libtinfow.so"
	# Some look for the headers here.
	dodir /usr/include/ncursesw
	for name in "${ED}"/usr/include/*.h; do
		dosym "../${name##*/}" "/usr/include/ncursesw/${name##*/}"
	done

	# The flags of this build, and its directories, are nobody's business.
	sed -i -E \
		-e "s# -ffile-prefix-map=[^ \"']*##g" \
		-e "s# ?-L${EPREFIX}/usr/$(get_libdir)##; s# ?-Wl,[^ \"']*##g" \
		"${ED}"/usr/bin/ncurses*-config "${ED}/usr/$(get_libdir)"/pkgconfig/*.pc || die
	dodoc README ANNOUNCE
	cl_shebangs
}
