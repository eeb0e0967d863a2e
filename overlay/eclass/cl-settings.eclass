# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

# @ECLASS: cl-settings.eclass
# @MAINTAINER:
# compatlayer <compatlayer@example.org>
# @SUPPORTED_EAPIS: 8
# @BLURB: settings of a layer's declaration that are compiled into packages
# @DESCRIPTION:
# The engine tells ebuilds in make.conf what layer.yaml says beyond packages
# and USE, such as the directories that the loader trusts. Portage does not see
# when that changes; what is recorded here is compared, and another value means
# that the package is built again.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_CL_SETTINGS_ECLASS} ]]; then
_CL_SETTINGS_ECLASS=1

# @FUNCTION: cl_record
# @USAGE: <name=value>
# @DESCRIPTION:
# Keeps a setting beside Portage's own values of the package, in its entry of
# var/db/pkg and in a binary package. Call it in src_install.
cl_record() {
	echo "${1}" > "${T%/*}/build-info/CL_COMPILED_IN" || die
}

fi
