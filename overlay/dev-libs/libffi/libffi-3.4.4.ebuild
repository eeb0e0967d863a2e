# Copyright the compatlayer authors
# Distributed under the terms of the GNU General Public License v2 or later

EAPI=8

inherit cl-toolchain

DESCRIPTION="Calls functions whose interface is known only at run time"
HOMEPAGE="https://sourceware.org/libffi/"
# Debian's file is byte for byte upstream's release.
SRC_URI="
	https://github.com/libffi/libffi/releases/download/v${PV}/${P}.tar.gz
	mirror://debian/pool/main/libf/libffi/libffi_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64 ~arm64 ~ppc64 ~riscv"
IUSE="test"
RESTRICT="!test? ( test )"

src_configure() {
	cl_toolchain_export
	# Beside the other libraries, whatever the compiler calls its own directory.
	econf --disable-static --disable-docs --disable-multi-os-directory
}

src_test() {
	# Upstream's tests need dejagnu. This calls a function through the library.
	cat > "${T}/call.c" <<-'EOF' || die
		#include <ffi.h>
		static int twice(int number) { return 2 * number; }
		int main(void) {
			ffi_cif interface;
			ffi_type *types[] = { &ffi_type_sint };
			int number = 21;
			void *values[] = { &number };
			ffi_arg result = 0;
			if (ffi_prep_cif(&interface, FFI_DEFAULT_ABI, 1, &ffi_type_sint, types) != FFI_OK)
				return 2;
			ffi_call(&interface, FFI_FN(twice), &result, values);
			return (int) result != 42;
		}
	EOF
	local library=( "${S}"/*/.libs/libffi.so.? )
	local place=${library[0]%/*}
	cl_run ${CC} -I"${place%/.libs}/include" "${T}/call.c" -L"${place}" -lffi -o "${T}/call"
	LD_LIBRARY_PATH=${place} "${T}/call" || die "a call through the library gives a wrong result"
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die
}
