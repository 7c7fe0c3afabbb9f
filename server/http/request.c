/* SPDX-License-Identifier: MIT
 *
 * The life of a struct cg_request and the access to its fields. Owns its arrays and its line_text.
 */
#include "server/http/request.h"

#include "server/base/assert.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIELDS_CAP_FIRST = 16,
    VARIABLES_CAP_FIRST = 16,
    KEEP_CAP = 16 * 1024, /* a larger line_text is not kept for the next request */
};

void cg_request_init(struct cg_request *r) {
    *r = (struct cg_request){.fields = NULL};
}

void cg_request_reset(struct cg_request *r) {
    r->line_text.len = 0;
    if (r->line_text.cap > KEEP_CAP)
        cg_buf_done(&r->line_text);
    *r = (struct cg_request){
        .fields = r->fields,
        .fields_cap = r->fields_cap,
        .variables = r->variables,
        .variables_cap = r->variables_cap,
        .line_text = r->line_text,
    };
}

void cg_request_done(struct cg_request *r) {
    free(r->fields);
    free(r->variables);
    cg_buf_done(&r->line_text);
    cg_request_init(r);
}

static int grow_fields(struct cg_request *r) {
    size_t cap = r->fields_cap ? r->fields_cap * 2 : FIELDS_CAP_FIRST;
    struct cg_field *fields = realloc(r->fields, cap * sizeof *fields);
    if (!fields)
        return -ENOMEM;
    r->fields = fields;
    r->fields_cap = cap;
    return 0;
}

static int grow_variables(struct cg_request *r) {
    size_t cap = r->variables_cap ? r->variables_cap * 2 : VARIABLES_CAP_FIRST;
    struct cg_variable *variables = realloc(r->variables, cap * sizeof *variables);
    if (!variables)
        return -ENOMEM;
    r->variables = variables;
    r->variables_cap = cap;
    return 0;
}

int cg_request_add_field(struct cg_request *r, struct cg_slice name, struct cg_slice value) {
    CG_ASSERT(r->fields_n <= r->fields_cap);
    if (r->fields_n == r->fields_cap && grow_fields(r) < 0)
        return -ENOMEM;
    r->fields[r->fields_n++] =
        (struct cg_field){.id = cg_field_lookup(name), .name = name, .value = value};
    return 0;
}

int cg_request_add_variable(struct cg_request *r, struct cg_slice name, struct cg_slice value) {
    CG_ASSERT(r->variables_n <= r->variables_cap);
    if (r->variables_n == r->variables_cap && grow_variables(r) < 0)
        return -ENOMEM;
    r->variables[r->variables_n++] = (struct cg_variable){.name = name, .value = value};
    return 0;
}

const struct cg_field *cg_request_field(const struct cg_request *r, enum cg_field_id id) {
    for (size_t i = 0; i < r->fields_n; i++) {
        if (r->fields[i].id == id)
            return &r->fields[i];
    }
    return NULL;
}

const struct cg_field *cg_request_field_named(const struct cg_request *r, struct cg_slice name) {
    for (size_t i = 0; i < r->fields_n; i++) {
        if (cg_slice_eq_ci(r->fields[i].name, name))
            return &r->fields[i];
    }
    return NULL;
}
