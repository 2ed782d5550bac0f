"""Why calls do not work, on purpose."""

from .record import Reason

NOT_IMPLEMENTED = r"501|[Nn]ot [Ii]mplemented|has not been implemented"
NOTHING_FOUND = r"[Nn]o \w[\w ]*(with|found|for)|404|not found|could not be found|NotFound"


def not_served(what):
    return Reason(f"{what} are not served", NOT_IMPLEMENTED)


# The client imports a backup at a path that the API does not have.
BACKUPS = Reason("backups are not served", NOT_IMPLEMENTED + "|backups/export_record")
# The client fails over with an action that the API does not have.
GROUPS = Reason("groups are not served", NOT_IMPLEMENTED + "|no such action")
CONSISTENCY_GROUPS = not_served("consistency groups")
IMAGES = Reason("needs an image service", NOT_IMPLEMENTED)
COMPUTE = Reason("the client asks a compute service first, and there is none", "'compute' is disabled")
NETWORK = Reason("the client asks a network service, and there is none", "'network' is disabled")
CLEANUP_BY_PUT = Reason("the client sends a `PUT`, where Cinder has a `POST`", "404")
NOT_EXTENDED_BY_COMPUTE = Reason(
    "refused as by Cinder: no driver here extends with the help of a compute service", "admin metadata is malformed"
)
NO_BACKUP_METADATA = Reason("backups are not served (and Cinder has no such route)", "404")
NO_QUOTA_LIST = Reason("the package has no call that lists quota sets, nor has Cinder", "")
MESSAGE_KEY = Reason("the client shows empty fields: it looks for `messages`, where Cinder answers `message`", "null")
NO_REPLICATION = Reason("refused as by Cinder, whose LVM driver does not replicate", "No service could be changed")
NO_FAILOVER = Reason("the client asks for `failover`, which Cinder documents and does not have", "The resource could not be found")
NO_CLUSTERS = Reason("not found as by Cinder without clusters", "could not be found|No Cluster found")


def no_identity(what):
    """What the embedded identity does not have: it cannot be made, and is therefore never found."""
    return Reason(f"the embedded identity has no {what}", f"{NOT_IMPLEMENTED}|{NOTHING_FOUND}|Failed to delete group|^\\s*$|oauthlib")


def of_configuration(what):
    """What the embedded identity shows but does not let change."""
    return Reason(f"{what} are those of the configuration", NOT_IMPLEMENTED + "|403|405")
