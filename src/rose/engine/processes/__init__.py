"""Handle processes of this machine: started in groups, limited, watched, and ended with all that they started."""
