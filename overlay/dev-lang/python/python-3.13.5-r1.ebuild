# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

MY_P="Python-${PV}"
DESCRIPTION="The interpreter that EasyBuild and users' scripts run on"
HOMEPAGE="https://www.python.org/"
# Debian's file is byte for byte upstream's.
SRC_URI="
	https://www.python.org/ftp/python/${PV}/${MY_P}.tar.xz
	mirror://debian/pool/main/p/python$(ver_cut 1-2)/python$(ver_cut 1-2)_${PV}.orig.tar.xz -> ${MY_P}.tar.xz
"
S="${WORKDIR}/${MY_P}"

LICENSE="PSF-2"
SLOT="3.13"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

RDEPEND+="
	app-arch/bzip2
	app-arch/xz-utils
	dev-libs/libffi
	dev-libs/openssl
	sys-libs/ncurses
	sys-libs/readline
	sys-libs/zlib
"
DEPEND="${RDEPEND}"
# The shell of subprocess.
RDEPEND+=" !prefix-guest? ( app-shells/bash )"

# Modules that would need a library the layer has not, or would take one of the
# builder's.
CL_LEFT_OUT=( _dbm _gdbm _sqlite3 _tkinter _uuid )
# What is missing otherwise is missing by accident.
CL_MODULES="_posixsubprocess, bz2, ctypes, curses, hashlib, lzma, readline, ssl, zlib"

src_prepare() {
	default

	# What is started with a shell, and what is looked for without PATH.
	if ! use prefix-guest; then
		sed -i -e "s|else '/bin/sh')|else '${EPREFIX}/bin/sh')|" Lib/subprocess.py || die
		grep -qF "'${EPREFIX}/bin/sh'" Lib/subprocess.py || die "the shell has moved"
	fi
	sed -i -e "s|^defpath = .*|defpath = '${EPREFIX}/usr/bin:/usr/bin:/bin'|" Lib/posixpath.py || die
	grep -qF "defpath = '${EPREFIX}/" Lib/posixpath.py || die "the default path has moved"

	# Modules in C beside those in Python, wherever libraries lie.
	sed -i -e 's|^BINLIBDEST=.*|BINLIBDEST=\t$(LIBDEST)|' Makefile.pre.in || die
	grep -q '^BINLIBDEST=.*LIBDEST' Makefile.pre.in || die "the directory of modules in C has moved"
}

src_configure() {
	cl_toolchain_export

	local module
	for module in "${CL_LEFT_OUT[@]}"; do
		local -x "py_cv_module_${module}=n/a"
	done
	# No ensurepip: "python -m venv" unpacks the pip that lies beside it.
	econf \
		--enable-shared \
		--disable-test-modules \
		--with-builtin-hashlib-hashes=md5,sha1,sha2,sha3,blake2 \
		--with-ensurepip=no \
		--with-readline=readline \
		--without-static-libpython \
		--without-valgrind
}

src_compile() {
	emake
	local -x LD_LIBRARY_PATH=${S}
	cl_run ./python -c "import ${CL_MODULES}; hashlib.md5(), hashlib.sha256()"
}

src_test() {
	# Those of upstream's tests that are about what the layer brings.
	local -x LD_LIBRARY_PATH=${S}
	cl_run ./python -m test test_bz2 test_ctypes test_hashlib test_lzma test_subprocess test_tarfile test_zlib
}

src_install() {
	local python=python$(ver_cut 1-2) file flags library=${ED}/usr/lib/python$(ver_cut 1-2)
	emake DESTDIR="${D}" COMPILEALL_OPTS=-q install
	if ! cl_is_cross; then
		PYTHONHOME=${ED}/usr LD_LIBRARY_PATH=${S} cl_run "${ED}/usr/bin/${python}" -c "import ${CL_MODULES}"
	fi

	# No windows in this layer.
	rm -rf "${library}"/{idlelib,tkinter,turtledemo,turtle.py} "${ED}"/usr/bin/idle* || die

	# Whoever builds a module gets these settings: without the directories of
	# this build.
	flags="-ffile-prefix-map=${WORKDIR}=/usr/src/${PF}"
	grep -rlIF "${WORKDIR}" "${ED}/usr" | while IFS= read -r file; do
		sed -i -e "s|  *${flags}||g; s|${WORKDIR}|/usr/src/${PF}|g" "${file}" || die
	done

	# Some modules can be started as programs.
	grep -rlIE '^#! ?/usr/(local/)?bin/(env )?python' "${ED}/usr" | while IFS= read -r file; do
		sed -i -E -e "1s@^#! ?/usr/(local/)?bin/(env )?python[0-9.]*@#!${EPREFIX}/usr/bin/${python}@" "${file}" || die
	done

	# Compiled once more, in a form that does not ask for times: a published
	# layer does not keep them.
	find "${ED}" -name '__pycache__' -prune -exec rm -r {} + || die
	LD_LIBRARY_PATH=${S} ./python -m compileall -q -f --invalidation-mode unchecked-hash \
		-s "${D}" -p / -x 'lib2to3/tests|bad_coding|badsyntax' "${library}" || die
	grep -rlF "${WORKDIR}" "${ED}/usr" && die "a file names the directory of this build"

	dosym "${python}" /usr/bin/python
	cl_shebangs
}
