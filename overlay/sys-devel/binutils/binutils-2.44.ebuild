# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="The assembler, the linker, and programs that look into what they make"
HOMEPAGE="https://www.gnu.org/software/binutils/"
# Upstream's release as Debian keeps it; whether it is upstream's very file
# cannot be seen here, so it has a name of its own.
SRC_URI="mirror://debian/pool/main/b/binutils/binutils_${PV}.orig.tar.xz -> ${P}-debian.tar.xz"

LICENSE="GPL-3+ LGPL-3+"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND+=" sys-libs/zlib"
DEPEND+=" sys-libs/zlib"

src_configure() {
	cl_toolchain_export

	# With its own C library a layer is the linker's whole world. In a guest
	# prefix it is the host's linker in a newer version.
	local sysroot=()
	use prefix-guest || sysroot=( --with-sysroot="${EPREFIX}" )
	mkdir -p "${WORKDIR}/build" || die
	cd "${WORKDIR}/build" || die
	# Archives without times, so that the same objects give the same file.
	ECONF_SOURCE=${S} econf \
		--enable-deterministic-archives \
		--enable-plugins \
		--enable-relro \
		--enable-separate-code \
		--enable-shared \
		--enable-threads \
		--enable-colored-disassembly \
		--enable-64-bit-bfd \
		--disable-gprofng \
		--disable-multilib \
		--disable-nls \
		--disable-rpath \
		--disable-werror \
		--with-system-zlib \
		--without-debuginfod \
		--without-msgpack \
		--without-zstd \
		"${sysroot[@]}"
}

src_compile() {
	# Manuals in other formats than man(1)'s want texinfo.
	emake -C "${WORKDIR}/build" MAKEINFO=true
}

src_test() {
	# Upstream's tests need dejagnu and ten minutes. This assembles and links a
	# program without a library, and runs it.
	local built=${WORKDIR}/build tool
	cat > "${T}/answer.c" <<-'EOF' || die
		int answer(void) { return 42; }
	EOF
	cl_run ${CC} -S -O1 "${T}/answer.c" -o "${T}/answer.s"
	for tool in gas/as-new ld/ld-new binutils/ar binutils/readelf binutils/objdump binutils/strip-new; do
		[[ -x ${built}/${tool} ]] || die "${tool} was not built"
	done
	cl_run "${built}/gas/as-new" "${T}/answer.s" -o "${T}/answer.o"
	cl_run "${built}/ld/ld-new" -shared -soname libanswer.so "${T}/answer.o" -o "${T}/libanswer.so"
	"${built}/binutils/readelf" -d "${T}/libanswer.so" | grep -q 'libanswer.so' || die "the linker forgot the name"
	"${built}/binutils/objdump" -d "${T}/libanswer.so" | grep -q '<answer>:' || die "the library has no function"
}

src_install() {
	emake -C "${WORKDIR}/build" DESTDIR="${D}" MAKEINFO=true install

	# The second copies, for a compiler that looks for its own linker, are links.
	local directory=${ED}/usr/${CHOST}/bin name
	for name in "${directory}"/*; do
		[[ -e ${ED}/usr/bin/${name##*/} ]] || continue
		ln -sfn "../../bin/${name##*/}" "${name}" || die
	done
	find "${ED}" -name '*.la' -delete || die
	# What the libraries' own debugger would read.
	rm -rf "${ED}/usr/share/info" "${ED}/usr/share/gdb" || die
	cl_shebangs
}
