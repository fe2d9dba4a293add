"""Several ranked lists into one, by a combination or by a fuser learned from judged topics: `avs fuse`."""
