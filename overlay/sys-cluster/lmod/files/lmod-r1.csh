# The layer's environment modules, for csh and tcsh, unless a user says
# "setenv COMPATLAYER_MODULE_COMMAND modules".
# An existing MODULEPATH keeps its order; the layer's directory follows.

set _compatlayer_lmod = 1
if ( $?COMPATLAYER_MODULE_COMMAND ) then
	if ( "${COMPATLAYER_MODULE_COMMAND}" == modules && -e "@EPREFIX@/etc/profile.d/modules.csh" ) set _compatlayer_lmod = 0
endif
if ( ${_compatlayer_lmod} ) then
	if ( ! $?MODULEPATH ) then
		setenv MODULEPATH "@EPREFIX@/etc/modulefiles"
	else if ( ":${MODULEPATH}:" !~ *":@EPREFIX@/etc/modulefiles:"* ) then
		setenv MODULEPATH "${MODULEPATH}:@EPREFIX@/etc/modulefiles"
	endif

	if ( $?tcsh ) then
		source "@EPREFIX@/usr/share/Lmod/init/tcsh"
	else
		source "@EPREFIX@/usr/share/Lmod/init/csh"
	endif
endif
unset _compatlayer_lmod
