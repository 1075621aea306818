/* Results and errors in words. */
#include "egret.h"

const char *egret_result_text(enum egret_result result)
{
    static const char *const texts[EGRET_RESULT_COUNT] = {
        [EGRET_OK] = "done",
        [EGRET_WAIT] = "not yet; call again",
        [EGRET_ARGUMENT] = "a wrong argument",
        [EGRET_ROOM] = "the array is too short for the network",
        [EGRET_INDEX] = "the event's index is not an input",
        [EGRET_VALUE] = "the value does not fit the core",
        [EGRET_NETWORK] = "no network is loaded",
        [EGRET_BUSY] = "a step is under way",
        [EGRET_ABSENT] = "the core was built without it",
        [EGRET_WINDOW] = "the window does not hold the lists",
        [EGRET_BUS] = "the bus failed",
        [EGRET_TIMEOUT] = "the core did not answer in time",
        [EGRET_FAULT] = "the core met an error",
        [EGRET_RESULT] = "a result that the network does not have",
        [EGRET_CORE] = "no Egret core",
        [EGRET_VERSION] = "registers of another version",
        [EGRET_IMAGE_BEGIN] = "no memory image of this version",
        [EGRET_IMAGE_END] = "the image is not whole",
        [EGRET_IMAGE_CHECKSUM] = "the image is damaged",
        [EGRET_IMAGE_CONFIG] = "the image is for another core",
        [EGRET_IMAGE_RECORD] = "a record is out of place in the image",
        [EGRET_IMAGE_RANGE] = "the image points outside its network or core",
        [EGRET_IMAGE_OTHER] = "not the image that is loaded",
    };
    return (unsigned)result < EGRET_RESULT_COUNT ? texts[result] : "no result of the driver";
}

const char *egret_error_text(enum egret_error error)
{
    static const char *const texts[EGRET_ERROR_COUNT] = {
        [EGRET_ERROR_NONE] = "no error",
        [EGRET_ERROR_INDEX] = "an event's index is outside the network",
        [EGRET_ERROR_VALUE] = "an event's value does not fit",
        [EGRET_ERROR_NOT_LOADED] = "an event came without a network",
        [EGRET_ERROR_BUSY] = "a state was written in the middle of a step",
        [EGRET_ERROR_LOAD_ORDER] = "an image without its beginning",
        [EGRET_ERROR_LOAD_CONFIG] = "an image for another core",
        [EGRET_ERROR_LOAD_CAPACITY] = "an image needs more than the core has",
        [EGRET_ERROR_LOAD_KIND] = "a record of unknown kind",
        [EGRET_ERROR_LOAD_RANGE] = "a record writes outside its memory",
        [EGRET_ERROR_LOAD_CHECKSUM] = "an image's checksum is wrong",
        [EGRET_ERROR_REGISTER] = "a write to no register",
        [EGRET_ERROR_LIST_RANGE] = "a list is not within the window",
        [EGRET_ERROR_LIST_READ] = "external memory answered with an error",
        [EGRET_ERROR_LIST_TIMEOUT] = "external memory did not answer",
        [EGRET_ERROR_LIST_TARGET] = "a list is for no lane or row",
    };
    return (unsigned)error < EGRET_ERROR_COUNT ? texts[error] : "an error unknown to the driver";
}
