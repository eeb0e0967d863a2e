# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="The compiler of people who build software on the layer"
HOMEPAGE="https://gcc.gnu.org/"
# Debian's archive holds another, upstream's without the manuals.
SRC_URI="mirror://debian/pool/main/g/gcc-$(ver_cut 1)/gcc-$(ver_cut 1)_${PV}.orig.tar.gz -> ${P}-debian.tar.gz"

LICENSE="GPL-3+ gcc-runtime-library-exception-3.1 LGPL-2.1+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="fortran test"
RESTRICT="!test? ( test )"

RDEPEND+="
	dev-libs/gmp
	dev-libs/mpc
	dev-libs/mpfr
	sys-devel/binutils
	sys-kernel/linux-headers
	sys-libs/glibc
	sys-libs/zlib
"
DEPEND="${RDEPEND}"

pkg_pretend() {
	if use prefix-guest; then
		die "without a C library of its own a layer has the host's compiler"
	fi
}

src_unpack() {
	default
	cd "${WORKDIR}" || die
	tar -xf "gcc-$(ver_cut 1)-${PV}/${P}-dfsg.tar.xz" || die
}

# Directories of the layer, without the prefix: the compiler's own, and the one
# for its shared libraries. The second has no version: what was linked by an
# older compiler finds a newer one's libraries there.
cl_own_directory() {
	echo "/usr/lib/gcc/${CHOST}/$(ver_cut 1)"
}

cl_runtime_directory() {
	echo "/usr/lib/gcc/${CHOST}/runtime"
}

src_prepare() {
	default

	local rpath="%{!static:%{!static-pie:%{!r:-rpath ${EPREFIX}$(cl_runtime_directory)}}}"

	# Programs start with the layer's loader.
	local headers=( gcc/config/{i386/linux64,aarch64/aarch64-linux,riscv/linux}.h )
	local loader="GLIBC_DYNAMIC_LINKER[0-9X]*[[:space:]]+\""
	sed -i -E -e "s@(${loader})/lib[a-z0-9]*/@\1${EPREFIX}/$(get_libdir)/@" "${headers[@]}" || die
	sed -i -E -e "s@(DYNAMIC_LINKER_PREFIX[[:space:]]+\")\"@\1${EPREFIX}\"@" gcc/config/rs6000/linux64.h || die
	grep -E "${loader}/lib" "${headers[@]}" && die "a loader is still the host's"
	headers+=( gcc/config/rs6000/linux64.h )
	[[ $(grep -lF "\"${EPREFIX}" "${headers[@]}" | wc -l) == 4 ]] || die "the loaders' names have moved"

	# crt1.o, crti.o and libraries are the layer's, and never the host's.
	sed -i -e "s|_PREFIX_1 \"/lib/\"|_PREFIX_1 \"${EPREFIX}/lib/\"|" \
		-e "s|_PREFIX_2 \"/usr/lib/\"|_PREFIX_2 \"${EPREFIX}/usr/lib/\"|" gcc/gcc.cc || die
	[[ $(grep -cE "_PREFIX_[12] \"${EPREFIX}/" gcc/gcc.cc) == 2 ]] || die "the directories of crt1.o have moved"
	sed -i -e "s|\"/lib/ \"|\"${EPREFIX}/lib64/ \"|; s|\"/usr/lib/ \"|\"${EPREFIX}/usr/lib64/ \"|" \
		-e "s|\"/lib\" XLEN|\"${EPREFIX}/lib\" XLEN|; s|\"/usr/lib\" XLEN|\"${EPREFIX}/usr/lib\" XLEN|" \
		gcc/config/riscv/linux.h || die

	# The directory of the compiler's libraries, for all that the loader will
	# load. In the compiler itself: with a file of specs beside it, it would no
	# longer add the shared libgcc by itself.
	sed -i -e "s|^\(static const char \*link_spec = LINK_SPEC\);|\1 \" ${rpath}\";|" gcc/gcc.cc || die
	grep -qF "LINK_SPEC \" ${rpath}\"" gcc/gcc.cc || die "what is said to the linker has moved"

	# No corrected copies of the C library's headers: they would be those of
	# the day, and the library is corrected in its own package.
	sed -i -e 's|\./fixinc\.sh|-c true|' gcc/Makefile.in || die
	# Debian leaves the manuals out, whose licence it does not carry, and with
	# them the text that a check of the build compares with the source.
	sed -i -e 's/install-cpp install-man install-info/install-cpp/' \
		-e '/^s-tm-texi: build.genhooks/,/^$/c s-tm-texi:\n\t$(STAMP) s-tm-texi\n' gcc/Makefile.in || die
	[[ $(grep -cF 's-tm-texi' gcc/Makefile.in) == 4 ]] || die "the check of the manual has moved"
	grep -q 'install-cpp install-@POSUB@' gcc/Makefile.in || die "the list of what is installed has moved"
}

src_configure() {
	cl_toolchain_export

	# What it links finds its libraries, whatever the layer's own compiler was.
	local languages=c,c++ runtime="${EPREFIX}$(cl_runtime_directory)"
	use fortran && languages+=,fortran
	local map="-ffile-prefix-map=${WORKDIR}=/usr/src/${PF}"
	local -x CFLAGS_FOR_TARGET="-O2 -pipe ${map}" CXXFLAGS_FOR_TARGET="-O2 -pipe ${map}"
	local -x LDFLAGS_FOR_TARGET="-Wl,-O1 -Wl,-rpath,${runtime}"
	local -x MAKEINFO=false
	# It is asked what it can do, and its assembler and linker will be the layer's.
	local tools=()
	cl_is_cross || tools=( --with-build-time-tools="${EPREFIX}/usr/bin" )

	mkdir -p "${WORKDIR}/build" || die
	cd "${WORKDIR}/build" || die
	# A relative name: "gcc -v" prints it.
	ECONF_SOURCE="../${P}" econf \
		--target="${CHOST}" \
		--libdir="${EPREFIX}/usr/lib" \
		--libexecdir="${EPREFIX}/usr/libexec" \
		--with-native-system-header-dir="${EPREFIX}/usr/include" \
		--with-local-prefix="${EPREFIX}/usr/local" \
		--with-gxx-include-dir="${EPREFIX}$(cl_own_directory)/include/c++" \
		--with-gcc-major-version-only \
		--with-pkgversion=compatlayer \
		--with-bugurl="${HOMEPAGE}bugs/" \
		--with-gmp="${ESYSROOT}/usr" --with-mpfr="${ESYSROOT}/usr" --with-mpc="${ESYSROOT}/usr" \
		"${tools[@]}" \
		--with-system-zlib \
		--without-isl \
		--without-zstd \
		--enable-languages="${languages}" \
		--enable-checking=release \
		--enable-default-pie \
		--enable-linker-build-id \
		--enable-shared \
		--enable-threads=posix \
		--enable-version-specific-runtime-libs \
		--enable-__cxa_atexit \
		--disable-bootstrap \
		--disable-libcc1 \
		--disable-libitm \
		--disable-libsanitizer \
		--disable-libssp \
		--disable-libstdcxx-pch \
		--disable-libvtv \
		--disable-lto \
		--disable-multilib \
		--disable-nls \
		--disable-plugin \
		--disable-werror
}

src_compile() {
	emake -C "${WORKDIR}/build" BUILD_INFO= GENERATED_MANPAGES=
}

src_test() {
	# Upstream's tests need dejagnu and hours. src_install asks the new compiler
	# what it does; that costs seconds, so it always does.
	:
}

src_install() {
	emake -C "${WORKDIR}/build" BUILD_INFO= GENERATED_MANPAGES= DESTDIR="${D}" install

	local own=${ED}$(cl_own_directory) runtime=${ED}$(cl_runtime_directory) file name
	find "${ED}" -name '*.la' -delete || die
	# Pretty printers of a debugger, and what would make corrected headers.
	rm -rf "${ED}"/usr/share/gcc-* "${ED}"/usr/share/{info,man} "${ED}"/usr/lib*/gcc/"${CHOST}"/*/install-tools \
		"${ED}"/usr/libexec/gcc/"${CHOST}"/*/install-tools "${own}"/include-fixed/README || die

	# Shared libraries into their one directory; where the linker looks, links.
	mkdir -p "${runtime}" || die
	while IFS= read -r -d '' file; do
		name=${file##*/}
		case ${name} in
			*.py) rm "${file}" || die ;;
			*.so.*) mv "${file}" "${runtime}/${name}" || die ;;
			*.a|*.o|*.spec|*.so) [[ ${file%/*} == "${own}" ]] || mv "${file}" "${own}/${name}" || die ;;
		esac
	done < <(find "${ED}/usr" -path "${runtime}" -prune -o \
		\( -type f -o -type l \) \( -name 'lib*.so' -o -name 'lib*.so.*' -o -name 'lib*.a' -o -name 'lib*.spec' \) -print0)
	for file in "${own}"/lib*.so; do
		# libgcc_s.so is a linker's script, in which the library has a bare name.
		[[ -L ${file} ]] || continue
		ln -sfn "../runtime/$(basename "$(readlink "${file}")")" "${file}" || die
	done
	ln -sfn ../runtime/libgcc_s.so.1 "${own}/libgcc_s.so.1" || die

	dosym gcc /usr/bin/cc
	cl_shebangs
	cl_examine
}

# Asks the new compiler where it looks and what it makes. A leak of the host
# into it would reach all that is ever built on the layer.
cl_examine() {
	cl_is_cross && return
	local image=${D} language said
	mkdir -p "${T}/examined" || die
	cd "${T}/examined" || die

	# It is run in the image and finds its parts relative to itself.
	said=$("${ED}/usr/bin/gcc" -print-search-dirs | tr ':=' '\n\n' | grep '^/' | grep -vE "^(${image})?${EPREFIX}/")
	[[ -z ${said} ]] || die "the compiler looks into ${said}"
	for language in c c++; do
		said=$("${ED}/usr/bin/gcc" -x ${language} -E -v - </dev/null 2>&1 | sed -n 's|^ /|/|p')
		said=$(grep -vE "^(${image})?${EPREFIX}/" <<<"${said}")
		[[ -z ${said} ]] || die "for ${language} the compiler reads ${said}"
	done

	cat > thrown.cc <<-'EOF' || die
		#include <iostream>
		#include <stdexcept>
		int main() {
			try { throw std::runtime_error("caught"); }
			catch (const std::exception &thrown) { std::cout << thrown.what() << std::endl; }
		}
	EOF
	cl_run "${ED}/usr/bin/g++" -O1 thrown.cc -o thrown
	said=$(LC_ALL=C readelf -ld thrown) || die
	[[ ${said} == *"interpreter: ${EPREFIX}/"* ]] || die "what it makes starts with another loader"
	[[ ${said} == *"[${EPREFIX}$(cl_runtime_directory)]"* ]] || die "what it makes does not find its libraries"
	said=$(LD_LIBRARY_PATH="${ED}$(cl_runtime_directory)" ./thrown) || die "what it makes does not run"
	[[ ${said} == caught ]] || die "an exception was not caught"

	# A program of the layer's own compiler may load what this one has linked,
	# so this one's library has to know all that the other's does.
	said=$(cl_newest "${ESYSROOT}/usr/$(get_libdir)/libstdc++.so.6")
	LC_ALL=C grep -qaF "${said:-missing}" "${ED}$(cl_runtime_directory)/libstdc++.so.6" ||
		die "the layer was built by a newer compiler, whose library knows ${said}: this compiler has to be as new"
}

# Prints the newest interface that a C++ library knows.
cl_newest() {
	LC_ALL=C readelf -V "${1}" | grep -o 'GLIBCXX_[0-9.]*' | sort -uV | tail -n 1
}
