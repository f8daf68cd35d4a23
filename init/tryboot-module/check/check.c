/*
 * Checks holm_tryboot.c against firmware that does what it should, that does not know
 * the flag, and that lies. Prints what failed; the exit code says whether anything did.
 */
#include <stdlib.h>
#include <string.h>
#include "../holm_tryboot.c"

enum behaviour { GOOD, IGNORANT, DEAF, BROKEN, ABSENT };

static enum behaviour behaviour;
static u32 flags;
static int references, failures;
struct kobject *firmware_kobj;
static struct kobject made;

int rpi_firmware_property(struct rpi_firmware *unused, u32 tag, void *data, size_t size)
{
	(void)unused;
	if (behaviour == BROKEN)
		return -ETIMEDOUT;
	/* What Linux sees of a tag that firmware does not know. */
	if (behaviour == IGNORANT || size != sizeof(flags))
		return 0;
	if (tag == 0x00038064 && behaviour == GOOD)
		memcpy(&flags, data, size);
	memcpy(data, &flags, size);
	return 0;
}

struct device_node *of_find_compatible_node(struct device_node *from, const char *type,
					    const char *compatible)
{
	(void)from, (void)type;
	if (behaviour == ABSENT || strcmp(compatible, "raspberrypi,bcm2835-firmware"))
		return NULL;
	return (struct device_node *)&made;
}

void of_node_put(struct device_node *node) { (void)node; }
struct rpi_firmware *rpi_firmware_get(struct device_node *node)
{
	references++;
	return (struct rpi_firmware *)node;
}
void rpi_firmware_put(struct rpi_firmware *unused) { (void)unused; references--; }
struct kobject *kobject_create_and_add(const char *name, struct kobject *parent)
{
	(void)parent;
	return strcmp(name, "holm_tryboot") ? NULL : &made;
}
void kobject_put(struct kobject *object) { (void)object; }
int sysfs_create_file(struct kobject *object, const struct attribute *attribute)
{
	(void)object;
	return strcmp(attribute->name, "armed") || attribute->mode != 0600 ? -EINVAL : 0;
}
int kstrtobool(const char *text, bool *value)
{
	if (*text != '0' && *text != '1')
		return -EINVAL;
	*value = *text == '1';
	return 0;
}

static void expect(const char *what, long wanted, long found)
{
	if (wanted == found)
		return;
	printf("%s: %ld instead of %ld\n", what, found, wanted);
	failures++;
}

static long store(const char *text)
{
	return armed_store(NULL, NULL, text, strlen(text));
}

static long show(void)
{
	char text[64] = "";
	ssize_t length = armed_show(NULL, NULL, text);

	return length < 0 ? length : strtol(text, NULL, 10);
}

int main(void)
{
	expect("module loads", 0, holm_tryboot_init());
	flags = 4;
	expect("flag is down at first", 0, show());
	expect("flag is raised", 2, store("1\n"));
	expect("flag reads as up", 1, show());
	expect("other flags stay", 5, flags);
	expect("flag is lowered", 1, store("0"));
	expect("only the flag was lowered", 4, flags);
	expect("words are refused", -EINVAL, store("yes"));

	behaviour = DEAF;
	expect("flag that does not stay up", -EIO, store("1"));
	expect("lowering what is down", 1, store("0"));
	behaviour = IGNORANT;
	expect("firmware without the flag, asked", -EOPNOTSUPP, show());
	expect("firmware without the flag, told", -EOPNOTSUPP, store("1"));
	behaviour = BROKEN;
	expect("firmware that does not answer", -ETIMEDOUT, store("1"));
	expect("turn is given back", 0, turn.held);

	holm_tryboot_exit();
	expect("firmware is given back", 0, references);
	behaviour = ABSENT;
	expect("machine without such firmware", -ENODEV, holm_tryboot_init());
	return failures != 0;
}
