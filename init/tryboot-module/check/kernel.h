/*
 * Just enough of Linux to compile holm_tryboot.c into a program that checks it. Every
 * header that it includes is this one.
 */
#ifndef CHECK_KERNEL_H
#define CHECK_KERNEL_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef uint32_t u32;
#define BIT(n) (1U << (n))
#define __init
#define __exit
#define __maybe_unused __attribute__((unused))
#define module_init(function)
#define module_exit(function)
#define MODULE_DEVICE_TABLE(bus, table)
#define MODULE_DESCRIPTION(text)
#define MODULE_LICENSE(text)

struct mutex { int held; };
#define DEFINE_MUTEX(name) struct mutex name
#define mutex_lock(mutex) ((void)((mutex)->held++))
#define mutex_unlock(mutex) ((void)((mutex)->held--))

struct kobject { int unused; };
struct attribute { const char *name; unsigned int mode; };
struct kobj_attribute {
	struct attribute attr;
	ssize_t (*show)(struct kobject *, struct kobj_attribute *, char *);
	ssize_t (*store)(struct kobject *, struct kobj_attribute *, const char *, size_t);
};
#define __ATTR(name, mode, show, store) { { #name, mode }, show, store }
extern struct kobject *firmware_kobj;
struct kobject *kobject_create_and_add(const char *name, struct kobject *parent);
void kobject_put(struct kobject *object);
int sysfs_create_file(struct kobject *object, const struct attribute *attribute);
#define sysfs_emit sprintf
int kstrtobool(const char *text, bool *value);

struct device_node;
struct of_device_id { const char *compatible; };
struct device_node *of_find_compatible_node(struct device_node *from, const char *type,
					    const char *compatible);
void of_node_put(struct device_node *node);

struct rpi_firmware;
struct rpi_firmware *rpi_firmware_get(struct device_node *node);
void rpi_firmware_put(struct rpi_firmware *firmware);
int rpi_firmware_property(struct rpi_firmware *firmware, u32 tag, void *data, size_t size);
#endif
