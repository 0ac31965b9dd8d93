"""What tests share: builders, the shared folder, free ports."""
