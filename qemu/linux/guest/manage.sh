#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# What an administrator does to the accelerator while Linux runs: drivers unloaded and loaded, unbind with open queues, function-level reset,
# virtual functions, an injected hardware error. One line per check, as the guest program prints them.  manage.sh [CHECK...]
function=0000:00:01.0
devices=/sys/bus/pci/devices
drivers=/sys/bus/pci/drivers
passed=0 failed=0

say() { echo "  $*"; }
# The uacce device of a PCI function.
name_of() { ls "$devices/$1/uacce" 2>/dev/null | head -n 1; }
jobs_on() { # FUNCTION COUNT
	device=$(name_of "$1")
	[ -n "$device" ] || { say "$1 has no uacce device"; return 1; }
	uacce-zip "$device" jobs "$2"
}
# Waits until a command succeeds: at most COUNT tenths of a second.
await() { # COUNT COMMAND...
	left=$1
	shift
	until "$@" 2>/dev/null; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		usleep 100000
	done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
hold() { # holds queues in the background; sets $holder
	rm -f /scratch/hold
	uacce-zip "$(name_of $function)" hold >/scratch/hold 2>&1 &
	holder=$!
	await 50 grep -q 'holding queues' /scratch/hold
}

check_reload() {
	for round in 1 2 3 4 5 6 7 8 9 10; do
		rmmod hisi_zip && rmmod hisi_qm || return 1
		[ -z "$(ls /sys/class/uacce)" ] || { say "a uacce device outlives its driver"; return 1; }
		insmod /lib/modules/hisi_qm.ko && insmod /lib/modules/hisi_zip.ko uacce_mode=1 || return 1
		jobs_on $function 4 >/dev/null || return 1
	done
	say "10 times unloaded and loaded"
}

# Linux lets the unbind wait until the last queue is closed. Until then the queues work.
check_unbind_with_open_queues() {
	hold || { say "no queue to hold"; return 1; }
	echo $function >$drivers/hisi_zip/unbind &
	unbind=$!
	usleep 300000
	gone $holder && { say "the holder ended: $(cat /scratch/hold)"; return 1; }
	gone $unbind && { say "unbound under an open queue"; return 1; }
	kill $holder
	await 100 gone $unbind || { say "unbind still waits"; return 1; }
	[ ! -e $devices/$function/driver ] || { say "still bound"; return 1; }
	echo $function >$drivers/hisi_zip/bind
	jobs_on $function 6
}

check_flr() {
	for round in 1 2 3; do
		echo 1 >$devices/$function/reset || { say "reset failed"; return 1; }
		jobs_on $function 6 >/dev/null || return 1
	done
	await 10 sh -c "dmesg | grep -q 'FLR reset complete'" || { say "the driver does not say that the reset is complete"; return 1; }
	say "3 resets, jobs after each"
}

check_vfs() {
	echo 2 >$devices/$function/sriov_numvfs || { say "sriov_numvfs refused"; return 1; }
	vfs=$(for link in $devices/$function/virtfn*; do basename "$(readlink "$link")"; done)
	for vf in $vfs; do
		[ "$(basename "$(readlink "$devices/$vf/driver")")" = hisi_zip ] || { say "$vf is not bound"; return 1; }
		await 20 test -d "$devices/$vf/uacce" || { say "$vf has no uacce device"; return 1; }
	done
	say "functions: $function" $vfs
	workers=
	for f in $function $vfs; do
		jobs_on "$f" 40 &
		workers="$workers $!"
	done
	for worker in $workers; do
		wait "$worker" || { say "jobs failed beside others"; return 1; }
	done
	for vf in $vfs; do # each function alone resets, the others go on
		[ -e "$devices/$vf/reset" ] || continue
		echo 1 >"$devices/$vf/reset" || { say "reset of $vf failed"; return 1; }
		jobs_on "$vf" 4 >/dev/null && jobs_on $function 4 >/dev/null || { say "after the reset of $vf"; return 1; }
	done
	echo 0 >$devices/$function/sriov_numvfs || return 1
	[ ! -e $devices/$function/virtfn0 ] || { say "virtual functions outlive their end"; return 1; }
	jobs_on $function 6
}

# A hardware error of the reset-worthy class, set through the engine's own set register (BAR2 + 0x3010a8, bit 5: destination address parse).
# Linux classifies it, stops, and would reset the controller by an ACPI method that this machine has not. Last: the device stays stopped.
check_hardware_error() {
	hold || { say "no queue to hold"; return 1; }
	uacce-zip - poke $devices/$function/resource2 0x3010a8 0x20 || return 1
	await 100 sh -c "dmesg | grep -q 'No reset method'" || { say "no reset was tried"; return 1; }
	dmesg | grep -q 'zip_dst_addr_parse_err .*found' || { say "the log does not name the error"; return 1; }
	await 150 gone $holder || { say "the holder's requests hang"; return 1; }
	grep -q 'held queues ended' /scratch/hold || { say "the holder: $(tail -n 1 /scratch/hold)"; return 1; }
	uacce-zip "$(name_of $function)" jobs 1 >/dev/null 2>&1 && { say "a stopped device still works"; return 1; }
	return 0
}

checks=${*:-reload unbind_with_open_queues flr vfs hardware_error}
for check in $checks; do
	if check_$check; then
		echo "PASS $check"
		passed=$((passed + 1))
	else
		echo "FAIL $check"
		failed=$((failed + 1))
	fi
done
echo "guest: managed: $passed passed, $failed failed"
[ $failed = 0 ]
