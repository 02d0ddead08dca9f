#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The disks of a test kernel's machine, made below DIR and left alone when they are still right:
#
#   images.sh root DIR BUILDDIR                 DIR/root.img: this Debian's programs for the lab
#   images.sh modules DIR VERSION MODULESDIR    DIR/VERSION/modules.img, DIR/VERSION/initrd
#   images.sh project BUILDDIR IMAGE [KMODDIR]  the project and what was built from it; the module
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)

# image DIR FILE MEGABYTES: an ext4 file system with what is in DIR and so much room.
image() {
	local size
	size=$(($(du -sm "$1" | cut -f 1) * 5 / 4 + $3))
	rm -f "$2"
	truncate -s "${size}M" "$2"
	mkfs.ext4 -q -O ^has_journal -m 0 -E root_owner=0:0 -d "$1" "$2"
}

# stamp FILE: is what stdin says already what FILE was made from? If not, `made FILE` tells later.
stamp() {
	cat >"$1.wanted"
	[[ -s $1 ]] && cmp -s "$1.wanted" "$1.made"
}
made() { mv "$1.wanted" "$1.made"; }

# The packages that the tests use where they run, with all that those depend on. Essential packages
# are nobody's dependency.
packages() {
	local wanted
	mapfile -t wanted < <("$here/../install-deps.sh" --list-lab
		dpkg-query -W -f '${Essential} ${Package}\n' | sed -n 's/^yes //p')
	wanted+=(bpftool kmod mawk netbase)
	apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances "${wanted[@]}" | grep '^[a-z0-9]' | sort -u |
		xargs dpkg-query -W -f '${db:Status-Abbrev} ${Package}:${Architecture} ${Version}\n' \
			2>/dev/null | sed -n 's/^ii  *//p' || true # some names are virtual
}

# Every file of those packages but documentation; compiled Python, which no package lists; what
# maintainer scripts made; and what our own programs are linked with.
files() {
	cut -d ' ' -f 1 | sed 's/:all$//' | xargs dpkg -L |
		grep -vE '^/usr/share/(doc|man|locale|info|lintian|bash-completion)/' |
		sort -u | while read -r f; do
		[[ -d $f && ! -L $f ]] || [[ ! -e $f && ! -L $f ]] || echo "$f"
		[[ $f != *.py || ! -d ${f%/*}/__pycache__ ]] || echo "${f%/*}/__pycache__"
	done
	find /usr/bin /usr/sbin -lname '/etc/alternatives/*'
	printf '%s\n' /etc/alternatives /etc/passwd /etc/group /etc/nsswitch.conf /etc/hosts \
		/etc/ld.so.conf /etc/ld.so.conf.d
}
# linked BUILDDIR: libraries of our programs, by every name. ldd minds what is not a program.
linked() {
	{ find "$1" -name kernels -prune -o -type f -perm -u+x -exec ldd {} + 2>/dev/null || true; } |
		sed -nE 's/.*=> (\/[^ ]+) .*/\1/p' | sort -u | while read -r f; do
		printf '%s\n' "$f" "$(realpath "$f")"
	done
}

root() {
	local dir=$1 build=$2 tree=$1/root.tree list libs
	list=$(packages)
	libs=$(linked "$build")
	[[ $(wc -l <<<"$list") -gt 50 ]] || {
		echo "images.sh: cannot tell which packages the tests need" >&2
		exit 1
	}
	{
		echo "$list" "$libs"
		cksum <"$here/images.sh"
	} | stamp "$dir/root.img" && return
	rm -rf "$tree"
	mkdir -p "$tree"/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,tmp,run,root,w,var/{tmp,lib,log}}
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree"
	ln -s ../run "$tree/var/run"
	mkdir "$tree/usr/lib/modules"
	{
		files <<<"$list"
		echo "$libs"
	} | sort -u >"$dir/root.files"
	tar -C / -c --verbatim-files-from -T <(sed 's,^/,,' "$dir/root.files") |
		tar -C "$tree" -x --keep-directory-symlink
	ldconfig -r "$tree"
	image "$tree" "$dir/root.img" 512
	rm -rf "$tree"
	made "$dir/root.img"
}

# All modules but those of hardware that the machine has not, and an initramfs with those that it
# needs to get at its disks.
modules() {
	local dir=$1/$2 version=$2 from=$3 tree f
	mkdir -p "$dir"
	{
		echo "$from"
		stat -c '%n %s %Y' "$from/modules.order"
		cat "$here/images.sh" "$here/initramfs-init" | cksum
	} | stamp "$dir/initrd" && return
	tree=$dir/tree
	rm -rf "$tree"
	mkdir -p "$tree/m/lib/modules/$version/kernel" "$tree/i"/{bin,dev,proc,sys,new,modules}

	cp "$from"/modules.{order,builtin,builtin.modinfo} "$tree/m/lib/modules/$version/"
	tar -C "$from/kernel" -c --exclude=./sound \
		--exclude=./drivers/{gpu,infiniband,scsi,usb,media,hid,nvme,ata,md,net/wireless} . |
		tar -C "$tree/m/lib/modules/$version/kernel" -x
	depmod -b "$tree/m" "$version"
	image "$tree/m/lib/modules/$version" "$dir/modules.img" 8

	cp /bin/busybox "$tree/i/bin/"
	cp "$here/initramfs-init" "$tree/i/init"
	modprobe -d "$tree/m" -S "$version" -a --show-depends virtio_pci virtio_blk crc32c_generic \
		ext4 | sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r f; do
		f=$(realpath "$f")
		cp "$f" "$tree/i/modules/"
		f=${f##*/}
		[[ $f != *.xz ]] || xz -df "$tree/i/modules/$f"
		echo "${f%.xz}"
	done >"$tree/i.order"
	awk '!seen[$0]++' "$tree/i.order" >"$tree/i/modules/order"
	(cd "$tree/i" && find . | cpio -o -H newc -R 0:0 --quiet) >"$dir/initrd"
	rm -rf "$tree"
	made "$dir/initrd"
}

project() {
	local build=$1 img=$2 tree=$2.tree
	rm -rf "$tree"
	mkdir -p "$tree/build"
	tar -C "$here/../.." -c --exclude=./.git --exclude=./build . | tar -C "$tree" -x
	tar -C "$build" -c --exclude='*.d' --exclude=obj --exclude=gen --exclude=log --exclude=kernels \
		--exclude=fuzz --exclude=san . | tar -C "$tree/build" -x
	[[ ! -d ${3:-} ]] || cp -a "$3" "$tree/build/kmod"
	image "$tree" "$img" 128
	rm -rf "$tree"
}

"$@"
