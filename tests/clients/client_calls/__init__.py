"""Every call of the clients, made once: what of them works with Pumice, and why the rest does not.

`installed` says which calls the installed clients have, the scenarios (`cinder_*`, `openstack_*`, `sdk_*`, and `../gophercloud`) make them,
`record` keeps what came of each, `page` writes it to docs/reference/clients.md. A call without a scenario is a failure: what a new release
of a client adds is seen here.
"""
