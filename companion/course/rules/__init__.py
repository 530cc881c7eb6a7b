"""The rules that a built notebook keeps, by what they look at; `course.lint` runs them."""
