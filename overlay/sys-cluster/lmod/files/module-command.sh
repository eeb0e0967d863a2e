# Which program is behind the command "module": Lmod, or "modules"
# (Environment Modules). A user asks for the latter with COMPATLAYER_MODULE_COMMAND, or
# for every session with that word in ~/.config/compatlayer/module-command.

if [ -z "${COMPATLAYER_MODULE_COMMAND:-}" ]; then
	_compatlayer_choice="${XDG_CONFIG_HOME:-${HOME:-}/.config}/compatlayer/module-command"
	if [ -r "${_compatlayer_choice}" ]; then
		read -r COMPATLAYER_MODULE_COMMAND < "${_compatlayer_choice}" || :
	fi
	unset _compatlayer_choice
fi
# A wish that the layer cannot fulfil leaves the default.
if [ "${COMPATLAYER_MODULE_COMMAND:-}" = modules ] && [ -r "@EPREFIX@/etc/profile.d/modules.sh" ]; then
	export COMPATLAYER_MODULE_COMMAND
else
	unset COMPATLAYER_MODULE_COMMAND
fi
