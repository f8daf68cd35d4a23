################################################################################
#
# holm-init
#
################################################################################

HOLM_INIT_VERSION = local
HOLM_INIT_SITE = $(HOLM_CHECKOUT)
HOLM_INIT_SITE_METHOD = local
HOLM_INIT_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = $(HOLM_RSYNC_EXCLUSIONS)
HOLM_INIT_SUBDIR = init
HOLM_INIT_LICENSE = Apache-2.0
HOLM_INIT_LICENSE_FILES = LICENSE
HOLM_INIT_CARGO_ENV = $(HOLM_TARGET_ENV)
HOLM_INIT_PRE_BUILD_HOOKS += HOLM_FETCH_CRATES

define HOLM_INIT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 \
		$(@D)/target/$(RUSTC_TARGET_NAME)/$(HOLM_TARGET_PROFILE)/holm-init \
		$(TARGET_DIR)/usr/sbin/holm-init
endef

$(eval $(cargo-package))
