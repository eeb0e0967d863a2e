/* Copyright the compatlayer authors
 * Distributed under the terms of the GNU General Public License v2 or later
 *
 * Becomes the layer's shell, without the variables that would change how it is
 * loaded: the interpreter of startprefix.
 *
 * A script cannot do this for itself. When a caller's LD_LIBRARY_PATH names
 * another C library, or LD_PRELOAD a library that needs one, the shell that
 * would clear them crashes before it reads its first line. This program is
 * linked statically, so that no loader looks at them.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* What the C library, its loader and the shell read before they run anything:
 * ld.so(8), environ(7), bash(1). A name ends with "=", a family of names does
 * not. */
static const char *const dropped[] = {
	"LD_", "GLIBC_TUNABLES=", "MALLOC_", "GCONV_PATH=", "GETCONF_DIR=",
	"LOCPATH=", "NLSPATH=", "HOSTALIASES=", "LOCALDOMAIN=", "RES_OPTIONS=",
	"TZDIR=", "BASH_ENV=", "BASH_FUNC_", "BASHOPTS=", "ENV=", "SHELLOPTS=",
};

static int is_dropped(const char *variable)
{
	for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
		if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	char **to = environ;
	static char locale[256];

	(void)argc;
	for (char **from = environ; *from; from++) {
		/* A shell complains about a locale that it does not have before
		 * the script can see whether the layer has it. */
		if (strncmp(*from, "LC_ALL=", 7) == 0 && strlen(*from) < sizeof locale - 32) {
			snprintf(locale, sizeof locale, "STARTPREFIX_%s", *from);
			*to++ = locale;
		} else if (!is_dropped(*from))
			*to++ = *from;
	}
	*to = NULL;
	argv[0] = CL_SHELL;
	execv(CL_SHELL, argv);
	fprintf(stderr, "startprefix: cannot start %s: %s\n", CL_SHELL, strerror(errno));
	return 127;
}
