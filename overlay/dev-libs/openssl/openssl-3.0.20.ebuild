# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="TLS and cryptography: https for the layer's Python"
HOMEPAGE="https://www.openssl.org/"
# Debian's file is byte for byte upstream's release.
SRC_URI="
	https://github.com/openssl/openssl/releases/download/${P}/${P}.tar.gz
	mirror://debian/pool/main/o/openssl/openssl_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

pkg_pretend() {
	type -P perl >/dev/null ||
		die "OpenSSL is configured by perl, and this machine has none: install it (apt-get install perl)"

	# Debian's perl-base has few modules, Fedora packs them one by one.
	local module missing=()
	for module in Data::Dumper File::Compare File::Copy FindBin IPC::Cmd; do
		perl -M"${module}" -e 1 2>/dev/null || missing+=( "perl(${module})" )
	done
	[[ ${#missing[@]} == 0 ]] ||
		die "OpenSSL is configured by perl, and modules of it are missing: apt-get install perl, or dnf install ${missing[*]@Q}"
}

src_prepare() {
	default

	# The library knows how it was compiled, and tells whoever asks: without the
	# directory of this build.
	sed -i -e '/^$cflags = "compiler: /i $cflags =~ s{ -ffile-prefix-map=\\S+}{}g;' util/mkbuildinf.pl || die
	grep -q '^$cflags =~ s{ -ffile' util/mkbuildinf.pl || die "the text about the compiler has moved"
}

src_configure() {
	cl_toolchain_export

	local target
	case ${CHOST} in
		x86_64-*) target=linux-x86_64 ;;
		aarch64-*) target=linux-aarch64 ;;
		powerpc64le-*) target=linux-ppc64le ;;
		riscv64-*) target=linux64-riscv64 ;;
		*) die "not known: ${CHOST}" ;;
	esac
	# Certificates are the host's, by SSL_CERT_FILE: the layer's init script sets it.
	cl_run perl ./Configure "${target}" shared no-static-engine no-tests \
		--prefix="${EPREFIX}/usr" \
		--libdir="$(get_libdir)" \
		--openssldir="${EPREFIX}/etc/ssl"
}

src_compile() {
	# Not the manual: a thousand pages for programmers.
	emake build_sw
}

src_test() {
	# Upstream's take half an hour; that these parts work is what matters here.
	local -x LD_LIBRARY_PATH=${S}
	local said
	said=$(printf abc | ./apps/openssl dgst -sha256 -r) || die
	# FIPS 180-4's example.
	[[ ${said} == ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad* ]] ||
		die "a digest is wrong: ${said}"
	cl_run ./apps/openssl req -x509 -newkey rsa:2048 -nodes -batch -subj /CN=layer \
		-keyout "${T}/key" -out "${T}/certificate"
	cl_run ./apps/openssl verify -CAfile "${T}/certificate" "${T}/certificate"
}

src_install() {
	emake -j1 DESTDIR="${D}" install_sw install_ssldirs
	# Software links the shared libraries: one copy, one place to repair. What is
	# written in Perl would need one in the layer.
	rm "${ED}/usr/$(get_libdir)"/*.a "${ED}/usr/bin/c_rehash" || die
	rm -r "${ED}"/etc/ssl/{misc,private,certs,*.dist,ct_log_list.cnf} || die
	dodoc README.md NEWS.md
}
