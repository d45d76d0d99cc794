"""One decorator: register a class under the package name `keras_urnn`."""

import keras

# Saved files name a class as "keras_urnn>ClassName"; loading needs no
# `custom_objects`, only `import keras_urnn` beforehand.
register = keras.saving.register_keras_serializable(package="keras_urnn")
