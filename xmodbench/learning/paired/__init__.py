"""What methods share that train a U-Net on pairs of slices: settings, the game of one network, the plugin's answers."""
