# The layer's environment modules, for csh and tcsh.
# An existing MODULEPATH keeps its order; the layer's directory follows.

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
