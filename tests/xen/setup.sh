#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# setup.sh VERSION: makes what a boot of Xen VERSION (4.17 or 4.20) needs and prints the directory it is in:
#   xen        the hypervisor, uncompressed
#   vmlinuz    dom0's kernel
#   dom0.cpio  dom0's initramfs: busybox, the Xen tools and libraries of that release, our init
#   libs       names of the libraries that dom0.cpio brings along
# All comes from Debian packages and stays in a cache; a second call only looks there. Exit status 77: the
# packages of a newer Debian release cannot be reached from this machine.
set -euo pipefail

version=${1:?usage: setup.sh 4.17|4.20}
here=$(cd "$(dirname "$0")" && pwd)
cache=${XENVRAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xenvram}

# What this machine itself needs, here and in ./boot.
host_packages=(qemu-system-x86 busybox-static cpio)

# What dom0 is made of. The library packages are taken from the same release as Xen's tools.
case $version in
4.17) suite=bookworm ;;
4.20) suite=trixie ;;
*)
	echo "setup.sh: no recipe for Xen $version, only for 4.17 and 4.20" >&2
	exit 2
	;;
esac
dom0_packages=("xen-hypervisor-$version-amd64" "xen-utils-$version" "libxenmisc$version" xenstore-utils
	libxencall1 libxendevicemodel1 libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxenstore4
	libxentoolcore1 libxentoollog1 libc6 libgcc-s1 libyajl2 libtinfo6 libncurses6 libuuid1 libnl-3-200
	libnl-route-3-200 libfdt1 liblzma5 libbz2-1.0 liblzo2-2 libzstd1 zlib1g)
dom0_tools=(xl xenstored xenconsoled xen-init-dom0 libxl-save-helper)
dom0_modules=(xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs)

say() {
	echo "xen $version: $*" >&2
}

install_host_packages() {
	local missing=() package sudo=()
	for package in "${host_packages[@]}"; do
		[ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || sudo=(sudo)
	say "installing ${missing[*]}"
	local install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends
		-o DPkg::Lock::Timeout=300 install "${missing[@]}")
	"${install[@]}" >"$log" 2>&1 && return
	"${sudo[@]}" apt-get -qq update >>"$log" 2>&1
	"${install[@]}" >>"$log" 2>&1
}

# The running system's release and the archive it is installed from, as apt itself sees them.
host_suite() {
	# shellcheck source=/dev/null
	(. /etc/os-release && echo "$VERSION_CODENAME")
}

host_archive() {
	# shellcheck disable=SC2016 # apt's variables, not ours
	apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$(host_suite)" '$1 == suite && $2 == "main" { print $3; exit }'
}

# Sets apt_options so that apt knows the packages of suite.
use_suite() {
	apt_options=(-qq -o APT::Sandbox::User=root)
	if [ "$1" = "$(host_suite)" ]; then
		[ -n "$(host_archive)" ] && return
		if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo apt-get -qq update; fi >>"$log" 2>&1
		return
	fi

	local apt=$cache/apt-$1 archive
	archive=$(host_archive)
	[ -n "$archive" ] || return
	mkdir -p "$apt"/{lists,cache/archives}/partial
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $1 main" >"$apt/sources.list"
	apt_options+=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Update::Error-Mode=any)
	apt-get "${apt_options[@]}" update >>"$log" 2>&1
}

# Fetches packages into $debs and unpacks them into directory $1.
unpack() {
	local into=$1 file
	shift
	mkdir -p "$into" "$debs"
	(cd "$debs" && apt-get "${apt_options[@]}" download "$@") >>"$log" 2>&1 || return
	for file in $(apt-get "${apt_options[@]}" download --print-uris "$@" | awk '{ print $2 }'); do
		dpkg-deb --extract "$debs/$file" "$into"
	done
}

unpack_kernel() {
	local package
	use_suite "$(host_suite)"
	package=$(apt-cache depends --important linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
	say "fetching $package"
	unpack "$1" "$package"
}

unpack_dom0() {
	say "fetching ${#dom0_packages[@]} packages of $suite"
	use_suite "$suite" && unpack "$1" "${dom0_packages[@]}" && return
	if [ "$suite" != "$(host_suite)" ]; then
		say "the packages of $suite cannot be fetched, see $log"
		exit 77
	fi
	return 1
}

# Lays out dom0's root in $1 from the unpacked packages in $2 and the kernel's in $3.
fill_root() {
	local root=$1 dom0=$2 kernel=$3 dir name lib=usr/lib/x86_64-linux-gnu
	mkdir -p "$root"/{dev,proc,sys,run,tmp,root,etc/xen,usr/bin,usr/sbin,usr/lib64,"$lib",modules}
	mkdir -p "$root"/var/{lib/xen,lib/xenstored,log/xen} "$root/usr/lib/xen-$version/bin"
	chmod 1777 "$root/tmp"
	for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
	ln -s /run "$root/var/run"

	for name in $(busybox --list); do ln -s busybox "$root/usr/bin/$name"; done
	cp --remove-destination /bin/busybox "$root/usr/bin/"
	cp /sbin/ldconfig "$root/usr/sbin/"
	for name in "${dom0_tools[@]}"; do
		cp "$dom0/usr/lib/xen-$version/bin/$name" "$root/usr/lib/xen-$version/bin/"
	done
	cp "$dom0/usr/bin/xenstore" "$root/usr/bin/"
	for name in ls read write list exists; do ln -s xenstore "$root/usr/bin/xenstore-$name"; done

	for dir in "$dom0/$lib" "$dom0/lib/x86_64-linux-gnu"; do
		[ ! -d "$dir" ] || find "$dir" -maxdepth 1 -name '*.so*' -exec cp -a -t "$root/$lib" {} +
	done
	cp -L "$root/$lib/ld-linux-x86-64.so.2" "$root/usr/lib64/"
	for name in "${dom0_modules[@]}"; do
		find "$kernel/lib/modules" -name "$name.ko" -exec cp -t "$root/modules" {} +
	done

	echo 'autoballoon=0' >"$root/etc/xen/xl.conf"
	printf '%s\n' /usr/local/lib /usr/local/lib/x86_64-linux-gnu >"$root/etc/ld.so.conf"
	cat >"$root/etc/passwd" <<-END
		root:x:0:0:root:/root:/bin/sh
		xenvram:x:900:900::/:/bin/false
		xenvram-worker:x:901:901::/:/bin/false
		nobody:x:65534:65534::/:/bin/false
	END
	cat >"$root/etc/group" <<-END
		root:x:0:
		xenvram:x:900:
		xenvram-worker:x:901:
		nogroup:x:65534:
	END
	install -m 755 "$here/init.dom0" "$root/init"
}

build() {
	local work=$1
	unpack_dom0 "$work/dom0"
	unpack_kernel "$work/kernel"
	say "building dom0's initramfs"
	fill_root "$work/root" "$work/dom0" "$work/kernel"
	mkdir "$work/out"
	gzip -dc "$work/dom0/boot/xen-$version-amd64.gz" >"$work/out/xen"
	cp "$work"/kernel/boot/vmlinuz-* "$work/out/vmlinuz"
	(cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/out/dom0.cpio"
	ls "$work/root/usr/lib/x86_64-linux-gnu" >"$work/out/libs"
}

# The recipe is this file and init.dom0: a change of either makes another directory.
key=$(cat "$here/setup.sh" "$here/init.dom0" | sha256sum | cut -c 1-12)
ready=$cache/xen-$version-$key
if [ ! -d "$ready" ] || ! command -v qemu-system-x86_64 cpio >/dev/null; then
	mkdir -p "$cache"
	exec 9>"$cache/setup.lock"
	flock 9
	log=$cache/setup-$version.log
	debs=$cache/debs
	: >"$log"
	trap 'case $? in 0 | 77) ;; *) say "set-up failed, see $log" ;; esac' EXIT
	install_host_packages
	if [ ! -d "$ready" ]; then
		rm -rf "$cache/building-$version"
		find "$cache" -maxdepth 1 -name "xen-$version-*" -mtime +1 -exec rm -rf {} +
		build "$cache/building-$version"
		mv "$cache/building-$version/out" "$ready"
		rm -rf "$cache/building-$version"
	fi
fi
echo "$ready"
