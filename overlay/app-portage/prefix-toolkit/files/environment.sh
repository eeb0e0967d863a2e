# What startprefix and init.sh have in common. Read by sh, bash and zsh, also
# by scripts that say "set -eu"; it starts no program.

# Variables through which something outside the layer would get into its
# programs: libraries, and the search paths of the languages that it carries.
unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT LD_BIND_NOW LD_ORIGIN_PATH LD_DEBUG \
	LD_USE_LOAD_BIAS LD_HWCAP_MASK GLIBC_TUNABLES GCONV_PATH LOCPATH NLSPATH \
	LUA_PATH LUA_CPATH LUA_INIT LUA_PATH_5_4 LUA_CPATH_5_4 LUA_INIT_5_4 \
	TCLLIBPATH TCL_LIBRARY PYTHONHOME PYTHONPATH PERL5LIB PERLLIB TERMINFO || :

# A locale that the layer does not have makes its programs complain, and sort
# differently on every host; C.UTF-8 is always there. A layer on the host's C
# library has the host's locales.
if [ -d "@EPREFIX@/usr/lib/locale" ]; then
	_compatlayer_has_locale() {
		case ${1} in
			"" | C | POSIX) return 0 ;;
			*/*) return 1 ;;
			*.[Uu][Tt][Ff]8 | *.[Uu][Tt][Ff]-8)
				[ -d "@EPREFIX@/usr/lib/locale/${1%.*}.utf8" ] || [ -d "@EPREFIX@/usr/lib/locale/${1%.*}.UTF-8" ]
				;;
			*) [ -d "@EPREFIX@/usr/lib/locale/${1}" ] ;;
		esac
	}
	# Quietly: a shell complains of what it had, when that is taken away.
	{
		if [ -z "${LANG:-}" ] || ! _compatlayer_has_locale "${LANG}"; then
			LANG=C.UTF-8
			export LANG
		fi
		_compatlayer_has_locale "${LC_CTYPE:-}" || unset LC_CTYPE
		_compatlayer_has_locale "${LC_COLLATE:-}" || unset LC_COLLATE
		_compatlayer_has_locale "${LC_MESSAGES:-}" || unset LC_MESSAGES
		_compatlayer_has_locale "${LC_MONETARY:-}" || unset LC_MONETARY
		_compatlayer_has_locale "${LC_NUMERIC:-}" || unset LC_NUMERIC
		_compatlayer_has_locale "${LC_TIME:-}" || unset LC_TIME
		_compatlayer_has_locale "${LC_ALL:-}" || unset LC_ALL
		_compatlayer_has_locale "${STARTPREFIX_LC_ALL:-}" || unset STARTPREFIX_LC_ALL
	} 2>/dev/null
	unset -f _compatlayer_has_locale
fi
if [ -n "${STARTPREFIX_LC_ALL:-}" ]; then
	LC_ALL=${STARTPREFIX_LC_ALL}
	export LC_ALL
fi
unset STARTPREFIX_LC_ALL

# Certificates: the layer's own, else the bundle of this host, which lies
# elsewhere on every distribution. One that the user chose and that is there,
# stays.
if [ -z "${SSL_CERT_FILE:-}" ] || [ ! -r "${SSL_CERT_FILE}" ]; then
	unset SSL_CERT_FILE
	for _compatlayer_file in \
		"@EPREFIX@/etc/ssl/certs/ca-certificates.crt" \
		/etc/ssl/certs/ca-certificates.crt \
		/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem \
		/etc/pki/tls/certs/ca-bundle.crt \
		/etc/ssl/ca-bundle.pem \
		/etc/ssl/cert.pem; do
		if [ -r "${_compatlayer_file}" ]; then
			SSL_CERT_FILE=${_compatlayer_file}
			export SSL_CERT_FILE
			break
		fi
	done
	unset _compatlayer_file
fi
if [ -n "${SSL_CERT_FILE:-}" ]; then
	[ -r "${CURL_CA_BUNDLE:-}" ] || CURL_CA_BUNDLE=${SSL_CERT_FILE}
	[ -r "${GIT_SSL_CAINFO:-}" ] || GIT_SSL_CAINFO=${SSL_CERT_FILE}
	export CURL_CA_BUNDLE GIT_SSL_CAINFO
fi
