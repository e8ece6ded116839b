"""The contracts: what a plugin implements, one file each, with the default of the kernel where there is one."""
