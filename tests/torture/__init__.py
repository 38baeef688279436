"""What must not break: drivers killed at any moment, damaged files, disks that fail, two drivers, random histories."""
