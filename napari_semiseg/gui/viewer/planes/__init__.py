"""The linked axial, sagittal and coronal views."""
