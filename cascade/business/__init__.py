"""The business layer: objectives, a policy that blends them within a bound, and rules."""

from cascade.business.build import build_business
from cascade.business.business import Business, BusinessExplanation, BusinessTrace
from cascade.business.policy import LinearBlend, Policy, check_preference
from cascade.business.rules import BaseRule
from cascade.business.ruleset import RuleSet
from cascade.business.where import matches

__all__ = [
    "BaseRule",
    "Business",
    "BusinessExplanation",
    "BusinessTrace",
    "LinearBlend",
    "Policy",
    "RuleSet",
    "build_business",
    "check_preference",
    "matches",
]
