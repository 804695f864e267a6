package coord

import "errors"

var errNotAssembled = errors.New("coord: the member is not assembled yet")
