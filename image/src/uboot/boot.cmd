# The boot script of boards whose firmware is a U-Boot that counts nothing, such as NVIDIA's on the
# Jetson Nano: takes the slot that the two state files name, and counts a trial's tries down first.
# The rules, and the files' form, are in agent/update/src/state_files.rs.
#
# NVIDIA's U-Boot has neither setexpr nor any other arithmetic: digits are counted by going through
# them. It must never boot a trial whose lost try is not on the disk, for that could go on for ever.

echo "holm: boot script"

# A board says where its U-Boot keeps things; what NVIDIA's says is too tight for Debian's kernel.
if test "${soc}" = "tegra210"; then
  setenv kernel_addr_r 0x84000000
  setenv fdt_addr_r 0x83000000
  setenv ramdisk_addr_r 0x8a000000
fi

# Which of the two files counts: the first, unless the second follows it or is the only valid one.
setenv holm_file
for n in 1 2; do
  setenv seq
  setenv slot
  setenv trial
  setenv tries
  setenv filesize
  setenv holm_next
  if load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} state-${n}.env; then
    if test "${filesize}" = "200"; then
      if env import -c ${ramdisk_addr_r} 200; then
        last=9
        for digit in 0 1 2 3 4 5 6 7 8 9; do
          if test "${seq}" = "${last}"; then setenv holm_next ${digit}; fi
          last=${digit}
        done
      fi
    fi
  fi
  if test "${slot}" != "a" && test "${slot}" != "b"; then setenv holm_next; fi
  if test -n "${holm_next}"; then
    take=no
    if test -z "${holm_file}"; then take=yes; elif test "${seq}" = "${holm_follows}"; then take=yes; fi
    if test "${take}" = "yes"; then
      setenv holm_file ${n}
      setenv holm_follows ${holm_next}
      setenv holm_slot ${slot}
      setenv holm_trial ${trial}
      setenv holm_tries ${tries}
    fi
  fi
done

if test -z "${holm_file}"; then
  echo "holm: neither state file is valid; slot a is as good as any"
  setenv holm_slot a
  setenv holm_trial
  setenv holm_tries
fi

# A trial with tries left gets one of them: written into the file that does not count, read back.
setenv holm_boots
setenv holm_left
last=0
for digit in 1 2 3 4 5 6 7 8 9; do
  if test "${holm_tries}" = "${digit}"; then setenv holm_left ${last}; fi
  last=${digit}
done
setenv holm_other 2
if test "${holm_file}" = "2"; then setenv holm_other 1; fi
if test "${holm_trial}" = "${holm_slot}"; then setenv holm_left; fi
if test "${holm_trial}" != "a" && test "${holm_trial}" != "b"; then setenv holm_left; fi
if test -n "${holm_left}"; then
  setenv seq ${holm_follows}
  setenv slot ${holm_slot}
  setenv trial ${holm_trial}
  setenv tries ${holm_left}
  if env export -c -s 200 ${ramdisk_addr_r} seq slot trial tries; then
    if fatwrite ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} state-${holm_other}.env 200; then
      setenv seq
      setenv tries
      if load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} state-${holm_other}.env; then
        env import -c ${ramdisk_addr_r} 200
      fi
      if test "${seq}${tries}" = "${holm_follows}${holm_left}"; then setenv holm_boots ${holm_trial}; fi
    fi
  fi
  if test -z "${holm_boots}"; then
    echo "holm: the trial of slot ${holm_trial} cannot be counted, so it does not boot"
  fi
fi

# A trial, then what is committed; without a trial, the other slot where the committed one cannot be
# loaded. A slot is there only while its boot.env is whole: who writes a slot takes that away first.
second=b
if test "${holm_slot}" = "b"; then second=a; fi
if test -n "${holm_boots}"; then second=${holm_slot}; else setenv holm_boots ${holm_slot}; fi
for boots in ${holm_boots} ${second}; do
  setenv bootargs
  setenv filesize
  holm_fdt=${fdtcontroladdr}
  ready=no
  if load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${boots}/boot.env; then
    if env import -c ${ramdisk_addr_r} ${filesize}; then ready=yes; fi
  fi
  if test "${ready}" = "yes" && test -n "${fdtfile}"; then
    holm_fdt=${fdt_addr_r}
    ready=no
    for folder in dtb dtb/nvidia; do
      if test "${ready}" = "no" && test -e ${devtype} ${devnum}:${distro_bootpart} ${boots}/${folder}/${fdtfile}; then
        if load ${devtype} ${devnum}:${distro_bootpart} ${fdt_addr_r} ${boots}/${folder}/${fdtfile}; then ready=yes; fi
      fi
    done
    if test "${ready}" = "no"; then echo "holm: slot ${boots} has no device tree ${fdtfile}"; fi
  fi
  if test "${ready}" = "yes"; then
    if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} ${boots}/vmlinuz && load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} ${boots}/initramfs.zst; then
      echo "holm: boots slot ${boots}"
      booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${holm_fdt}
    fi
  fi
  echo "holm: slot ${boots} cannot be booted"
done
echo "holm: no slot can be booted; write the card anew with holm-image flash"
