################################################################################
#
# holm-image
#
################################################################################

HOLM_IMAGE_VERSION = local
HOLM_IMAGE_SITE = $(HOLM_CHECKOUT)
HOLM_IMAGE_SITE_METHOD = local
HOLM_IMAGE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = $(HOLM_RSYNC_EXCLUSIONS)
HOLM_IMAGE_SUBDIR = image
HOLM_IMAGE_LICENSE = Apache-2.0
HOLM_IMAGE_LICENSE_FILES = LICENSE
HOST_HOLM_IMAGE_PRE_BUILD_HOOKS += HOLM_FETCH_CRATES

define HOST_HOLM_IMAGE_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/release/holm-image $(HOST_DIR)/bin/holm-image
endef

$(eval $(host-cargo-package))
