# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

# @ECLASS: cl-toolchain.eclass
# @MAINTAINER:
# compatlayer <compatlayer@example.org>
# @SUPPORTED_EAPIS: 8
# @BLURB: the compiler of the target, and builds too small for a build system
# @DESCRIPTION:
# Two things. First, cl_toolchain_export sets CC, CXX, AR, RANLIB, STRIP and
# PKG_CONFIG to the tools of CHOST and keeps the build directory out of what
# is compiled, so that the same source gives the same file wherever it is
# built. Second, cl_objects, cl_shared_library and cl_program compile packages
# of a handful of files whose own makefiles ignore LDFLAGS, know no shared
# library, or are only an input for tools a small host does not have.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_CL_TOOLCHAIN_ECLASS} ]]; then
_CL_TOOLCHAIN_ECLASS=1

# What is compiled needs the C library and the compiler's run-time libraries.
# In a guest prefix they are the host's.
DEPEND="!prefix-guest? ( sys-libs/gcc-runtime )"
RDEPEND="!prefix-guest? ( sys-libs/gcc-runtime )"

# @FUNCTION: cl_tool
# @USAGE: <variable> <program>
# @DESCRIPTION:
# Prints the command for one tool: what the variable says (make.conf, or the
# engine's environment), else CHOST-program, else program when building for
# the machine that builds. Dies when cross-compiling without a cross tool: a
# binary for the wrong machine must not reach a layer.
cl_tool() {
	local variable=${1} program=${2}

	if [[ -n ${!variable} ]]; then
		echo "${!variable}"
	elif type -P "${CHOST}-${program}" >/dev/null; then
		echo "${CHOST}-${program}"
	elif cl_is_cross; then
		die "no ${CHOST}-${program} in PATH and no ${variable} set"
	else
		echo "${program}"
	fi
}

# @FUNCTION: cl_is_cross
# @DESCRIPTION:
# True when what is built cannot be run on the machine that builds it.
cl_is_cross() {
	[[ ${CBUILD:-${CHOST}} != "${CHOST}" ]]
}

# @FUNCTION: cl_toolchain_export
# @DESCRIPTION:
# Exports the tools and the flags. Call it first in src_configure.
cl_toolchain_export() {
	# Not "export CC=$(cl_tool ...)": export would hide the failure.
	local cc cxx ar ranlib strip pkg_config
	cc=$(cl_tool CC gcc) || die
	cxx=$(cl_tool CXX g++) || die
	ar=$(cl_tool AR ar) || die
	ranlib=$(cl_tool RANLIB ranlib) || die
	strip=$(cl_tool STRIP strip) || die
	pkg_config=$(cl_tool PKG_CONFIG pkg-config) || die
	export CC=${cc} CXX=${cxx} AR=${ar} RANLIB=${ranlib} STRIP=${strip} PKG_CONFIG=${pkg_config}

	# assert(), __FILE__ and debug information name files below this
	# directory instead of the builder's temporary one.
	local map="-ffile-prefix-map=${WORKDIR}=/usr/src/${PF}"
	export CFLAGS="${CFLAGS} ${map}" CXXFLAGS="${CXXFLAGS} ${map}"
}

# @FUNCTION: cl_shebangs
# @DESCRIPTION:
# Lets the shell scripts in the image start with the layer's shell, which a
# layer with its own C library always has; in a guest prefix it does nothing.
# Call it last in src_install.
cl_shebangs() {
	use prefix-guest && return

	grep -rlIZE '^#! ?(/usr)?/bin/(env )?(ba)?sh( |$)' "${ED}" |
		xargs -0r sed -i -E "1s@^#! ?(/usr)?/bin/(env )?((ba)?sh)@#!${EPREFIX}/bin/\\3@" || die
}

# @FUNCTION: cl_run
# @USAGE: <command> [argument]...
# @DESCRIPTION:
# Shows a command in the build log and runs it, or dies.
cl_run() {
	echo "${*}"
	"${@}" || die "failed: ${*}"
}

# @FUNCTION: cl_objects
# @USAGE: <directory> [flag]... <source>...
# @DESCRIPTION:
# Compiles C and C++ sources into <directory>/<name>.o. Words that start with
# a dash are flags for these files, after CPPFLAGS and CFLAGS or CXXFLAGS.
cl_objects() {
	local directory=${1} word
	local -a flags=() sources=()
	shift
	for word in "${@}"; do
		case ${word} in
			-*) flags+=( "${word}" ) ;;
			*) sources+=( "${word}" ) ;;
		esac
	done

	mkdir -p "${directory}" || die
	for word in "${sources[@]}"; do
		local object=${directory}/${word##*/}
		object=${object%.*}.o
		# Unquoted on purpose: these variables hold lists of words.
		case ${word} in
			*.c) cl_run ${CC} ${CPPFLAGS} ${CFLAGS} "${flags[@]}" -c "${word}" -o "${object}" ;;
			*) cl_run ${CXX} ${CPPFLAGS} ${CXXFLAGS} "${flags[@]}" -c "${word}" -o "${object}" ;;
		esac
	done
}

# @FUNCTION: cl_link
# @USAGE: <argument>...
# @INTERNAL
# @DESCRIPTION:
# Links. Directories named by the package come before those of LDFLAGS: what
# is being built, not an older version that the layer already has, is linked.
cl_link() {
	local word
	local -a directories=() others=()
	for word in "${@}"; do
		case ${word} in
			-L*) directories+=( "${word}" ) ;;
			*) others+=( "${word}" ) ;;
		esac
	done
	cl_run ${CC} ${CFLAGS} "${directories[@]}" ${LDFLAGS} "${others[@]}"
}

# @FUNCTION: cl_shared_library
# @USAGE: <file> <soname> <object, -l or -Wl argument>...
# @DESCRIPTION:
# Links a shared library and makes the soname's link beside it.
cl_shared_library() {
	local file=${1} soname=${2}
	shift 2
	cl_link -shared -Wl,-soname,"${soname}" -o "${file}" "${@}"
	[[ ${file##*/} == "${soname}" ]] || ln -sf "${file##*/}" "${soname}" || die
}

# @FUNCTION: cl_program
# @USAGE: <file> <object or library argument>...
# @DESCRIPTION:
# Links a C program. For C++, call it as CC="${CXX}" cl_program.
cl_program() {
	local file=${1}
	shift
	cl_link -o "${file}" "${@}"
}

# @FUNCTION: cl_install_library
# @USAGE: <file> <link>...
# @DESCRIPTION:
# Installs a shared library into the target's library directory, with links
# to it: the soname, and the name the linker looks for.
cl_install_library() {
	local file=${1} link
	shift
	dolib.so "${file}"
	for link in "${@}"; do
		dosym "${file##*/}" "/usr/$(get_libdir)/${link}"
	done
}

# @FUNCTION: cl_pkgconfig
# @USAGE: <name> <version> <description> <libs> [cflags]
# @DESCRIPTION:
# Installs a pkg-config file for a package whose upstream has none, or whose
# template is filled in by tools we do without.
cl_pkgconfig() {
	local name=${1} version=${2} description=${3} libs=${4} cflags=${5}

	mkdir -p "${T}/pkgconfig" || die
	cat > "${T}/pkgconfig/${name}.pc" <<-EOF || die
		prefix=${EPREFIX}/usr
		libdir=\${prefix}/$(get_libdir)
		includedir=\${prefix}/include

		Name: ${name}
		Description: ${description}
		Version: ${version}
		Libs: -L\${libdir} ${libs}
		Cflags: ${cflags:--I\${includedir\}}
	EOF
	insinto "/usr/$(get_libdir)/pkgconfig"
	doins "${T}/pkgconfig/${name}.pc"
}

fi
