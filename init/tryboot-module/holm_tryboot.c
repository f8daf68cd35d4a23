// SPDX-License-Identifier: GPL-2.0
/*
 * The flag by which the firmware of a Raspberry Pi boots a trial once, as a file:
 * /sys/firmware/holm_tryboot/armed holds 0 or 1. Debian's kernels have no way to
 * raise it. Must never say that the flag is up unless the firmware itself said so.
 */
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/sysfs.h>
#include <soc/bcm2835/raspberrypi-firmware.h>

/* Property tags that Linux's header does not name. */
#define GET_REBOOT_FLAGS 0x00030064
#define SET_REBOOT_FLAGS 0x00038064
#define TRYBOOT BIT(0)

static struct rpi_firmware *firmware;
static struct kobject *folder;
/* One who sets the flag reads back his own. */
static DEFINE_MUTEX(turn);

/*
 * Firmware that does not know the tag leaves the buffer as it was and still reports
 * success, so it is asked twice with different ones.
 */
static int read_flags(u32 *flags)
{
	u32 first = 0, second = ~0U;
	int error;

	error = rpi_firmware_property(firmware, GET_REBOOT_FLAGS, &first, sizeof(first));
	if (error)
		return error;
	error = rpi_firmware_property(firmware, GET_REBOOT_FLAGS, &second, sizeof(second));
	if (error)
		return error;
	if (first != second)
		return -EOPNOTSUPP;
	*flags = first;
	return 0;
}

static int write_flag(bool armed)
{
	u32 flags, sent;
	int error;

	error = read_flags(&flags);
	if (error)
		return error;
	sent = armed ? flags | TRYBOOT : flags & ~TRYBOOT;
	flags = sent;
	error = rpi_firmware_property(firmware, SET_REBOOT_FLAGS, &flags, sizeof(flags));
	if (error)
		return error;
	error = read_flags(&flags);
	if (error)
		return error;
	return flags == sent ? 0 : -EIO;
}

static ssize_t armed_show(struct kobject *object, struct kobj_attribute *attribute, char *text)
{
	u32 flags;
	int error;

	mutex_lock(&turn);
	error = read_flags(&flags);
	mutex_unlock(&turn);
	return error ? error : sysfs_emit(text, "%d\n", !!(flags & TRYBOOT));
}

static ssize_t armed_store(struct kobject *object, struct kobj_attribute *attribute,
			   const char *text, size_t length)
{
	bool armed;
	int error;

	error = kstrtobool(text, &armed);
	if (error)
		return error;
	mutex_lock(&turn);
	error = write_flag(armed);
	mutex_unlock(&turn);
	return error ? error : (ssize_t)length;
}

static struct kobj_attribute armed = __ATTR(armed, 0600, armed_show, armed_store);

static int __init holm_tryboot_init(void)
{
	struct device_node *node;
	int error;

	node = of_find_compatible_node(NULL, NULL, "raspberrypi,bcm2835-firmware");
	if (!node)
		return -ENODEV;
	firmware = rpi_firmware_get(node);
	of_node_put(node);
	if (!firmware)
		return -ENODEV;
	error = -ENOMEM;
	folder = kobject_create_and_add("holm_tryboot", firmware_kobj);
	if (!folder)
		goto put_firmware;
	error = sysfs_create_file(folder, &armed.attr);
	if (error)
		goto put_folder;
	return 0;

put_folder:
	kobject_put(folder);
put_firmware:
	rpi_firmware_put(firmware);
	return error;
}

static void __exit holm_tryboot_exit(void)
{
	kobject_put(folder);
	rpi_firmware_put(firmware);
}

module_init(holm_tryboot_init);
module_exit(holm_tryboot_exit);

/* Loaded where there is such firmware; its driver is another. */
static const struct of_device_id machines[] __maybe_unused = {
	{ .compatible = "raspberrypi,bcm2835-firmware" },
	{}
};
MODULE_DEVICE_TABLE(of, machines);

MODULE_DESCRIPTION("Flag for one trial boot of a Raspberry Pi");
MODULE_LICENSE("GPL");
