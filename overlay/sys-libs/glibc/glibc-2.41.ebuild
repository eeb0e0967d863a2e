# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-settings

DESCRIPTION="The C library and the dynamic loader of a standalone layer"
HOMEPAGE="https://www.gnu.org/software/libc/"
# Debian's archive has no manual/, whose licence it does not accept.
SRC_URI="mirror://debian/pool/main/g/glibc/glibc_${PV}.orig.tar.xz -> ${P}-without-manual.tar.xz"

LICENSE="LGPL-2.1+ GPL-2+"
SLOT="2.2"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="nls test"
RESTRICT="!test? ( test )"

DEPEND="sys-kernel/linux-headers"
RDEPEND="sys-apps/baselayout-prefix"
# system() and popen() start it.
PDEPEND="app-shells/bash"

src_prepare() {
	default
	# Its makefile is missing with the directory, which shows only at the end.
	sed -i -e '/^all-subdirs = /,/[^\\]$/ s/ manual / /' Makeconfig || die
	if sed -n '/^all-subdirs = /,/[^\\]$/p' Makeconfig | grep -qw manual; then
		die "manual/ is still to be built"
	fi

	# The library reads the layer's etc, never the host's: not its
	# ld.so.preload, not its nsswitch.conf. What shall be the host's is a link
	# in the layer. The kernel's list of mounts needs none.
	local directories=( elf hesiod misc nscd nss posix resolv sysdeps/{generic,posix,unix} )
	grep -rlE --include='*.[ch]' '"/etc/' "${directories[@]}" |
		xargs sed -i -e 's|"/etc/mtab"|"/proc/self/mounts"|' -e "s|\"/etc/|\"${EPREFIX}/etc/|g" || die
	grep -rE '"/etc/(passwd|ld.so)' elf/rtld.c nss/nss_files && die "the library still reads the host's etc"

	# The directories that a site trusts come before the layer's own: what lies
	# there shall win. Upstream appends them.
	local trusted='$(user-defined-trusted-dirs)' own='$(default-rpath)'
	sed -i -e "s/${own//$/\\$} ${trusted//$/\\$}/${trusted} ${own}/" elf/Makefile || die
	grep -qF "${trusted} ${own}" elf/Makefile || die "the order of the loader's directories has moved"

	# system() and popen() start the layer's shell, and what has no PATH finds
	# the layer's programs first.
	local path="${EPREFIX}/usr/bin:/usr/bin:/bin"
	sed -i -e "s|\"/bin/sh\"|\"${EPREFIX}/bin/sh\"|" \
		sysdeps/posix/system.c libio/oldiopopen.c sysdeps/{generic,unix/sysv/linux}/paths.h || die
	sed -i -e "s|\"/bin:/usr/bin\"|\"${path}\"|" sysdeps/unix/confstr.h || die
	sed -i -e "s|\"/usr/bin:/bin|\"${path}|" sysdeps/{generic,unix/sysv/linux}/paths.h || die
	[[ $(grep -lF "${EPREFIX}/bin/sh" sysdeps/posix/system.c sysdeps/unix/sysv/linux/paths.h | wc -l) == 2 ]] ||
		die "the path of the shell has moved"
	grep -qF "${path}" sysdeps/unix/confstr.h || die "the default path has moved"
}

src_configure() {
	# Built by the compiler as the host has it: the layer's wrapper links
	# against what is only now being made.
	unset LDFLAGS CPPFLAGS
	local map="-ffile-prefix-map=${WORKDIR}=/usr/src/${PF}"
	local -x CC="${CL_HOST_CC:-gcc}" CXX="${CL_HOST_CXX:-g++}" CFLAGS="-O2 -pipe ${map}" CXXFLAGS="-O2 -pipe ${map}"
	local libdir="${EPREFIX}/usr/$(get_libdir)"
	local options=(
		--host="${CHOST}" --build="${CBUILD:-${CHOST}}"
		--prefix="${EPREFIX}/usr"
		--libdir="${libdir}"
		--libexecdir="${libdir}/misc"
		--sysconfdir="${EPREFIX}/etc"
		--localstatedir="${EPREFIX}/var"
		--with-headers="${ESYSROOT}/usr/include"
		--enable-kernel=3.2.0
		--enable-stack-protector=no
		--disable-werror --disable-profile --disable-nscd --disable-build-nscd
		--disable-timezone-tools --disable-mathvec
		--without-selinux --without-gd
		"libc_cv_slibdir=${EPREFIX}/$(get_libdir)"
		"libc_cv_rtlddir=${EPREFIX}/$(get_libdir)"
		"libc_cv_complocaledir=${EPREFIX}/usr/lib/locale"
	)
	mkdir -p "${WORKDIR}/build" || die
	cd "${WORKDIR}/build" || die
	echo "${CC} ${options[*]}"
	CONFIG_SHELL="${BASH}" "${BASH}" "${S}/configure" "${options[@]}" || die
}

# Directories beside the layer's own that its loader searches and trusts, such
# as one where a site puts a vendor's driver. The engine sets CL_TRUSTED_DIRS.
cl_make() {
	local arguments=( "${@}" )
	[[ -z ${CL_TRUSTED_DIRS} ]] || arguments+=( "user-defined-trusted-dirs=${CL_TRUSTED_DIRS}" )
	emake -C "${WORKDIR}/build" "${arguments[@]}"
}

src_compile() {
	cl_make
}

src_test() {
	# Upstream's tests take an hour. This runs a program on the new loader.
	cd "${WORKDIR}/build" || die
	local said directory loader=( elf/ld*.so.? )
	cat > hello.c <<-'EOF2' || die
		#include <gnu/libc-version.h>
		#include <stdio.h>
		int main(void) { return puts(gnu_get_libc_version()) < 0; }
	EOF2
	"${CL_HOST_CC:-gcc}" hello.c -o hello || die
	said=$("${loader[0]}" --library-path . ./hello) || die "the new loader runs nothing"
	[[ ${said} == "${PV}" ]] || die "the new library calls itself ${said}"
	for directory in ${CL_TRUSTED_DIRS//:/ }; do
		"${loader[0]}" --help | grep -qF "${directory}" || die "${directory} is not trusted"
	done
}

src_install() {
	cl_make install_root="${D}" install

	# One directory for libraries; baselayout-prefix links the short names to it.
	local libdir=$(get_libdir) file place
	for place in "${libdir}" sbin; do
		if [[ -d ${ED}/${place} ]]; then
			mkdir -p "${ED}/usr/${place}" || die
			mv "${ED}/${place}"/* "${ED}/usr/${place}/" || die
			rmdir "${ED}/${place}" || die
		fi
	done
	# Links from one of the two directories into the other.
	for file in "${ED}/usr/${libdir}"/*.so; do
		if [[ -L ${file} ]]; then
			ln -sfn "$(basename "$(readlink "${file}")")" "${file}" || die
		fi
	done

	# With --sysroot a linker looks for absolute names inside the sysroot.
	for file in libc.so libm.so libm.a; do
		file="${ED}/usr/${libdir}/${file}"
		if [[ -f ${file} ]] && grep -qI GROUP "${file}"; then
			sed -i -e "s|${EPREFIX}/usr/${libdir}/||g; s|${EPREFIX}/${libdir}/||g" "${file}" || die
		fi
	done

	# A script belongs to a shell of the layer; one in Perl to a Perl it lacks.
	for file in "${ED}"/usr/bin/*; do
		if head -c 64 "${file}" | grep -qaE '^#! ?/(usr/)?bin/(ba)?sh'; then
			sed -i -e "1s|^#! */[^ ]*/\(ba\)\?sh|#!${EPREFIX}/bin/bash|" "${file}" || die
		elif head -c 64 "${file}" | grep -qaE '^#!.*perl'; then
			rm "${file}" || die
		fi
	done

	# Without a cache the loader looks into the directories themselves, so that
	# what a site puts into a trusted one counts at once. Portage would make one
	# after each merge.
	rm -f "${ED}/etc/ld.so.cache" || die
	rm "${ED}/usr/sbin/ldconfig" || die
	use nls || rm -r "${ED}/usr/share/locale" || die

	# The one locale every program can rely on; the layer's role makes others.
	# What runs here runs on the new loader, from the image.
	keepdir /usr/lib/locale
	if [[ ${CBUILD:-${CHOST}} == "${CHOST}" ]]; then
		local loader=( "${WORKDIR}"/build/elf/ld*.so.? )
		I18NPATH="${ED}/usr/share/i18n" "${loader[0]}" --library-path "${WORKDIR}/build" \
			"${WORKDIR}/build/locale/localedef" --no-archive -i C -f UTF-8 "${ED}/usr/lib/locale/C.utf8" || die
	fi

	cl_record "trusted_dirs=${CL_TRUSTED_DIRS}"
}
