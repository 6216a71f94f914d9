"""What survives the emulator: documents, blobs and who may write them; knows no resource."""
