# Environment Modules as the module command, for people who say
# "setenv COMPATLAYER_MODULE_COMMAND modules", and for layers without Lmod.

set _compatlayer_modules = 0
if ( ! -e "@EPREFIX@/etc/profile.d/lmod.csh" ) set _compatlayer_modules = 1
if ( $?COMPATLAYER_MODULE_COMMAND ) then
	if ( "${COMPATLAYER_MODULE_COMMAND}" == modules ) set _compatlayer_modules = 1
endif
if ( ${_compatlayer_modules} ) then
	if ( ! $?MODULEPATH ) then
		setenv MODULEPATH "@EPREFIX@/etc/modulefiles"
	else if ( ":${MODULEPATH}:" !~ *":@EPREFIX@/etc/modulefiles:"* ) then
		setenv MODULEPATH "${MODULEPATH}:@EPREFIX@/etc/modulefiles"
	endif
	if ( $?tcsh ) then
		source "@EPREFIX@/usr/share/Modules/init/tcsh"
	else
		source "@EPREFIX@/usr/share/Modules/init/csh"
	endif
endif
unset _compatlayer_modules
