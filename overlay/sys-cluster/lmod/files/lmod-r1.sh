# The layer's environment modules, for bash, zsh, ksh and sh, unless a user
# prefers Environment Modules (see 00-module-command.sh).
# An existing MODULEPATH keeps its order; the layer's directory follows.

if [ "${COMPATLAYER_MODULE_COMMAND:-lmod}" = lmod ]; then
	case ":${MODULEPATH:-}:" in
		*":@EPREFIX@/etc/modulefiles:"*) ;;
		*) MODULEPATH="${MODULEPATH:+${MODULEPATH}:}@EPREFIX@/etc/modulefiles" ;;
	esac
	export MODULEPATH

	if [ -n "${BASH_VERSION:-}" ]; then
		. "@EPREFIX@/usr/share/Lmod/init/bash"
	elif [ -n "${ZSH_VERSION:-}" ]; then
		. "@EPREFIX@/usr/share/Lmod/init/zsh"
	elif [ -n "${KSH_VERSION:-}" ]; then
		. "@EPREFIX@/usr/share/Lmod/init/ksh"
	else
		. "@EPREFIX@/usr/share/Lmod/init/sh"
	fi
fi
