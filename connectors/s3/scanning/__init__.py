"""How a bucket too big for one call is read: in units, with what is known of clean objects."""
