#!@SHELL@
# Brings this layer into a running bash or zsh; a site's own login files may
# source it, more than once:
#
#     source @EPREFIX@/init.sh
#
# It clears what would load foreign libraries into the layer's programs, puts
# those programs first in PATH and MANPATH, chooses a locale and certificates
# that are there, and starts the module command. It writes nothing, and leaves
# COMPATLAYER_PREFIX behind. Run, not sourced, it prints this.

_compatlayer_is_sourced=yes
if [ -n "${BASH_VERSION:-}" ]; then
	# shellcheck disable=SC3028,SC3054
	[ "${BASH_SOURCE:-}" != "${0}" ] || _compatlayer_is_sourced=no
elif [ -n "${ZSH_VERSION:-}" ]; then
	case ${ZSH_EVAL_CONTEXT:-} in
		*file*) ;;
		*) _compatlayer_is_sourced=no ;;
	esac
fi
if [ "${_compatlayer_is_sourced}" = no ]; then
	while IFS= read -r _compatlayer_line; do
		case ${_compatlayer_line} in
			'#!'*) ;;
			'# '*) printf '%s\n' "${_compatlayer_line#'# '}" ;;
			'#') printf '\n' ;;
			*) break ;;
		esac
	done < "${0}"
	case ${1:-} in
		-h | --help) exit 0 ;;
		*) exit 2 ;;
	esac
fi
unset _compatlayer_is_sourced

if [ -n "${LD_LIBRARY_PATH:-}${LD_PRELOAD:-}" ]; then
	case $- in
		*i*) printf '%s\n' "compatlayer: LD_LIBRARY_PATH and LD_PRELOAD are cleared: they would break the layer's programs" >&2 ;;
	esac
fi
. "@EPREFIX@/usr/lib/prefix-toolkit/environment.sh"
. "@EPREFIX@/etc/profile"
