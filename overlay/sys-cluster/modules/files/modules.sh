# Environment Modules as the module command, for people who ask for it (the
# choice is made in etc/profile.d/00-module-command.sh) and for layers without
# Lmod. For sh, bash, zsh and ksh.

if [ "${COMPATLAYER_MODULE_COMMAND:-}" = modules ] || [ ! -e "@EPREFIX@/etc/profile.d/lmod.sh" ]; then
	case ":${MODULEPATH:-}:" in
		*":@EPREFIX@/etc/modulefiles:"*) ;;
		*) MODULEPATH="${MODULEPATH:+${MODULEPATH}:}@EPREFIX@/etc/modulefiles" ;;
	esac
	export MODULEPATH
	if [ -n "${BASH_VERSION:-}" ]; then
		. "@EPREFIX@/usr/share/Modules/init/bash"
	elif [ -n "${ZSH_VERSION:-}" ]; then
		. "@EPREFIX@/usr/share/Modules/init/zsh"
	elif [ -n "${KSH_VERSION:-}" ]; then
		. "@EPREFIX@/usr/share/Modules/init/ksh"
	else
		. "@EPREFIX@/usr/share/Modules/init/sh"
	fi
fi
